"""A field for a text that has one line nearly always."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.safestring import SafeString


class LinesInput(forms.TextInput):
    """One line, or several where the text has them: of a text in one line browsers drop the breaks."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        value = super().value_from_datadict(data, files, name)
        return value.replace("\r\n", "\n") if isinstance(value, str) else value

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        if isinstance(value, str) and "\n" in value:
            rows = min(8, value.count("\n") + 1)
            return forms.Textarea({**self.attrs, "rows": rows}).render(name, value, attrs, renderer)
        return super().render(name, value, attrs, renderer)

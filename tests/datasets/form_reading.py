"""What a browser would send of a page's main form."""

from html.parser import HTMLParser
from typing import Any


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._select = self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "input" and name:
            ticked = given.get("type") in ("checkbox", "radio")
            if not ticked or "checked" in given:
                self.found[name] = given.get("value", "on" if ticked else "")
        elif tag == "textarea":
            self._text, self.found[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.found):
            self.found[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._text = ""
        elif tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if self._text:
            self.found[self._text] += data


def fields_of(response: Any) -> dict[str, str]:
    """The fields as they are shown, with the line break that begins a textarea left out as browsers do."""
    reader = _Fields()
    page = response.content.decode()
    reader.feed(page[page.index('id="step"') :].partition("</form>")[0])
    return {name: value.removeprefix("\r\n").removeprefix("\n") for name, value in reader.found.items()}

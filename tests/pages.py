"""What tests read of a page."""

import re
from html import unescape
from typing import Any


def text_of(response: Any) -> str:
    """The words of a response, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())

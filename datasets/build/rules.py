"""Rules that leave a row out by what people said of it and by what its answer is like. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Final

from completions.conversation import Conversation, pick
from completions.correcting import corrected
from datasets.build.lines import BY_HAND
from datasets.build.material import Material
from datasets.models import Purpose
from datasets.recipe import Recipe

CHARS_PER_TOKEN: Final = 4  # of an answer that upstream did not count
# Models decline in few words and at once; a long answer that begins like this goes on to say something.
LONGEST_REFUSAL: Final = 400
_DECLINES = re.compile(
    r"(?:(?:i[\u2019']?m|i am)(?: very| so|) sorry[,.]?(?: but)?|sorry[,.]?(?: but)?|unfortunately,?|"
    r"i apologi[sz]e[,.]?(?: but)?|as an ai(?: language)?(?: model| assistant)?,?)?\s*"
    r"i(?:[\u2019']m| am)?\s?(?:can(?:no|[\u2019'])t|can not|won[\u2019']t|will not|unable to|not able to|"
    r"must decline)\s+"
    r"(?:to\s+)?(?:help(?!\s+but)|assist|comply|fulfil|fulfill|provide|do that|do this|answer|continue|"
    r"support|engage|create|generate|write|discuss|share)\b",
    re.IGNORECASE,
)
_FINISH: Final = {"truncated": ("length", "max_tokens"), "filtered": ("content_filter",)}


class Rules:
    """The rules of one recipe, ready for many rows."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._by_hand = dict(recipe.excluded)
        self._drop = frozenset(recipe.drop)
        self._asks = bool(self._drop or recipe.shortest or recipe.longest)
        # What is trained on or measured against is the corrected answer, so that is what must be fine.
        self._corrects = (
            (recipe.use_corrections and recipe.purpose != Purpose.EVALUATION)
            or recipe.reference.startswith("correction")
            or (recipe.purpose == Purpose.PREFERENCE and recipe.pairs.source == "corrections")
        )

    def refuse(self, material: Material) -> str:
        """Why the row is left out: a code, `by_hand:` and the words of a person, or nothing."""
        if material.source_key in self._by_hand:
            return f"{BY_HAND}{self._by_hand[material.source_key]}"
        if self._recipe.only_approved and material.state != "approved":
            return "not_approved"
        if not self._asks:
            return ""
        conversation, counted = material.conversation, material.completion_tokens
        if self._corrects and material.correction is not None:
            conversation = corrected(conversation, dict(material.correction))
            counted = None
        elif code := self._ended(conversation):
            return code
        return self._said(conversation, counted)

    def _ended(self, conversation: Conversation) -> str:
        """What is wrong with how the answer came to its end."""
        if "error" in self._drop and _is_error(conversation):
            return "dropped_error"
        for rule, reasons in _FINISH.items():
            if rule in self._drop and conversation.finish_reason in reasons:
                return f"dropped_{rule}"
        return ""

    def _said(self, conversation: Conversation, counted: int | None) -> str:
        """What is wrong with what the answer says."""
        answer = conversation.answer
        if answer is None:
            return "dropped_empty" if "empty" in self._drop else ""
        text = answer.text
        if "refusal" in self._drop and (answer.refusal or (not answer.tool_calls and declines(text))):
            return "dropped_refusal"
        if "empty" in self._drop and not (text.strip() or answer.tool_calls or answer.refusal):
            return "dropped_empty"
        if "not_json" in self._drop and not answer.tool_calls and asks_for_json(conversation):
            try:
                json.loads(text)
            except (ValueError, RecursionError):
                return "dropped_not_json"
        if self._recipe.shortest or self._recipe.longest:
            said = text + "".join(call.name + call.arguments for call in answer.tool_calls)
            tokens = counted or -(-len(said) // CHARS_PER_TOKEN)
            if tokens < self._recipe.shortest:
                return "too_short_answer"
            if self._recipe.longest and tokens > self._recipe.longest:
                return "too_long_answer"
        return ""


def refuse(material: Material, recipe: Recipe) -> str:
    """The same for one row."""
    return Rules(recipe).refuse(material)


def declines(text: str) -> bool:
    """Whether a text is a short refusal, in English and in the words that models use."""
    return len(text) <= LONGEST_REFUSAL and _DECLINES.match(text.lstrip()) is not None


def asks_for_json(conversation: Conversation) -> bool:
    """Whether the request asked for JSON by its response format."""
    wanted = pick(conversation.item, "response_format")
    return isinstance(wanted, Mapping) and wanted.get("type") in ("json_object", "json_schema")


def _is_error(conversation: Conversation) -> bool:
    """Whether upstream stored an error in place of an answer."""
    error = conversation.item.get("error")
    return bool(error) or conversation.finish_reason == "error"

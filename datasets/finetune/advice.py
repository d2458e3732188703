"""What a person can do when a provider refuses a job or lets it fail. Pure.

Codes and texts as the services send them, of which there is no complete list:
https://platform.openai.com/docs/guides/error-codes
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/fine-tuning
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Advice:
    """What is the matter in plain words, and what to do. `offers` names what the page can link to."""

    title: str
    text: str
    offers: tuple[str, ...] = ()  # download, model, rows, connection, again


_CLOSED = re.compile(
    r"fine[- ]?tuning (?:is|has been|was) (?:no longer|being|not) (?:available|offered|supported|closed|open)"
    r"|no longer (?:offers?|supports?|accepts?|available)[^.]{0,60}fine[- ]?tun"
    r"|fine[- ]?tun\w*[^.]{0,60}(?:winding down|deprecat|discontinu|sunset|shut ?down)"
    r"|(?:organi[sz]ation|project)[^.]{0,60}no(?:t have)? access[^.]{0,40}fine[- ]?tun"
    r"|not (?:eligible|allowed|permitted)[^.]{0,40}fine[- ]?tun",
    re.I,
)
_REGION = re.compile(
    r"(?:not|isn't) (?:available|supported|offered)[^.]{0,40}(?:region|location)"
    r"|(?:region|location)[^.]{0,60}(?:not|does not|doesn't) (?:support|offer|have|available)",
    re.I,
)
_NOT_TUNABLE = re.compile(
    r"(?:not|can(?:no|')t|does not|doesn't)[^.]{0,30}(?:support|available|allow|be)[^.]{0,30}fine[- ]?tun"
    r"|model[^.]{0,80}(?:does not exist|not found|cannot be found|not supported)",
    re.I,
)
_UNPROCESSED = re.compile(
    r"file[^.]{0,80}(?:not (?:ready|processed|yet|finished)|still|pending|being (?:processed|imported))", re.I
)
_POLICY = re.compile(r"usage polic|content polic|responsible ?ai|moderation|safety|unsafe|harmful", re.I)
_ROWS = re.compile(
    r"invalid (?:training|validation|file)|jsonl|line \d+|example \d+|at least \d+ examples|format", re.I
)


def advise(error: Mapping[str, Any], *, azure: bool) -> Advice | None:
    """Advice for an error as a fine-tune keeps it; None where nothing is known beyond what it says itself."""
    said = _Said.of(error)
    for fits, advice in _RULES:
        if fits(said):
            return _ON_AZURE.get(advice, advice) if azure else advice
    return None


@dataclass(frozen=True)
class _Said:
    kind: str
    code: str
    text: str

    @classmethod
    def of(cls, error: Mapping[str, Any]) -> "_Said":
        parts = {name: error.get(name) for name in ("kind", "code", "message")}
        known = {name: value if isinstance(value, str) else "" for name, value in parts.items()}
        return cls(known["kind"], re.sub(r"[^a-z]", "", known["code"].lower()), known["message"][:4000])


_CLOSING = Advice(
    "The provider takes no new fine-tuning jobs from this account",
    "OpenAI is closing self-serve fine-tuning step by step, and takes no new jobs at all from 6 January"
    " 2027. The dataset stays: download it and train elsewhere, or launch on an Azure connection, where"
    " fine-tuning goes on.",
    ("download", "model"),
)
_AZURE_CLOSED = Advice(
    "This resource takes no fine-tuning jobs",
    "Fine-tuning goes on at Azure, though not in every region and subscription. Launch on a connection in"
    " another region, or download the dataset and train elsewhere.",
    ("download", "model"),
)
_AZURE_RIGHT = Advice(
    "A right is missing",
    "Fine-tuning needs a role on the Azure resource that holds fine-tunes/write, such as Cognitive"
    " Services OpenAI Contributor or Foundry User; Owner and Contributor alone do not. Somebody who"
    " administers the resource can assign it. It works after about five minutes.",
    ("connection", "again", "download"),
)
_RIGHT = Advice(
    "The key may not do this",
    "Give the key the permissions for files and fine-tuning, or enter one that has them.",
    ("connection", "again", "download"),
)
_ELSEWHERE = Advice(
    "The region does not train this model",
    "Not every region trains every model. Standard training is offered in North Central US and Sweden"
    " Central; Global and Developer training in many more. Choose another training type or model, or"
    " launch on a connection in another region.",
    ("model", "download"),
)
_OTHER_MODEL = Advice(
    "This model cannot be fine-tuned here",
    "Choose a base model with its version from the provider's list.",
    ("model", "download"),
)
_AZURE_QUOTA = Advice(
    "The quota is used up",
    "The resource has no more room: too many jobs at once, too many files, or its quota is used up."
    " Wait for a running job to end, delete files that are no longer needed, or ask Azure for more.",
    ("again", "download"),
)
_QUOTA = Advice(
    "The quota is used up",
    "The account's credit or limit is used up. Raise it at the provider, then launch again.",
    ("again", "download"),
)
_LATER = Advice(
    "The provider had not imported the file yet",
    "A file has to be imported before a job can use it, which takes some minutes. Launch again.",
    ("again",),
)
_SAFETY = Advice(
    "The provider's safety check refused the rows or the model",
    "Training data and the trained model are checked against the provider's usage policies. Look for"
    " rows that may be taken as harmful, leave them out in a new version, and launch that.",
    ("rows", "download"),
)
_BAD_ROWS = Advice(
    "The provider could not use the file",
    "It names what is wrong and often the line. Look at these rows, leave them out or mend them in a new"
    " version, and launch that.",
    ("rows", "download"),
)
_LOST = Advice(
    "The job cannot be found upstream",
    "It may have been deleted at the provider, or the connection's identity may no longer see it. What"
    " was told until then stays here.",
    ("connection",),
)
_PASSING = Advice(
    "The provider failed on its side",
    "Such failures usually pass. The dataset is untouched; launch again in a while.",
    ("again", "download"),
)
_ON_AZURE = {_CLOSING: _AZURE_CLOSED, _RIGHT: _AZURE_RIGHT, _QUOTA: _AZURE_QUOTA}
_Rule = tuple[Callable[[_Said], bool], Advice]
# The first that fits is told; what a text says is more exact than a status.
_RULES: tuple[_Rule, ...] = (
    (lambda said: said.kind == "lost", _LOST),
    (
        lambda said: (
            said.kind == "closed" or bool(_CLOSED.search(said.text)) or said.code == "finetuningnotavailable"
        ),
        _CLOSING,
    ),
    (lambda said: bool(_REGION.search(said.text)), _ELSEWHERE),
    (lambda said: bool(_UNPROCESSED.search(said.text)), _LATER),
    (
        lambda said: (
            said.kind == "quota"
            or said.code in ("quotaexceeded", "insufficientquota", "billinghardlimitreached", "exceededquota")
        ),
        _QUOTA,
    ),
    (lambda said: said.kind in ("auth", "forbidden", "credentials") or said.code == "unauthorized", _RIGHT),
    (
        lambda said: (
            said.kind == "unavailable" or bool(_NOT_TUNABLE.search(said.text)) or said.code == "modelnotfound"
        ),
        _OTHER_MODEL,
    ),
    (lambda said: said.code == "contentfilter" or bool(_POLICY.search(said.text)), _SAFETY),
    (
        lambda said: (
            said.code in ("jsonlvalidationfailed", "fileimportfailed", "invalidfileformat")
            or said.code.startswith(("invalidtraining", "invalidvalidation"))
            or bool(_ROWS.search(said.text))
        ),
        _BAD_ROWS,
    ),
    (
        lambda said: (
            said.kind in ("server", "timeout", "network")
            or said.code in ("servererror", "internalfailure", "serviceunavailable")
        ),
        _PASSING,
    ),
)

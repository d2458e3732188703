"""Why some of Promptfoo's assertions are no graders here. Pure.

https://www.promptfoo.dev/docs/configuration/expected-outputs/
"""

from typing import Final

FIELDS: Final = {
    "transform": "It changes the answer before it is judged; answers are judged here as they are.",
    "contextTransform": "It takes its context from a script.",
    "rubricPrompt": "It asks in words of its own (rubricPrompt) for another form of answer.",
    "config": "It hands a configuration to a script.",
}
_JAVASCRIPT = "JavaScript is not run here; write it as a Python grader."
_TRACES = "Traces of agents are not kept here."
_FORMS = "This form is not checked here."
_CONTEXT = "It needs texts that were looked up for the answer, which items do not have."
_ELSEWHERE = "It asks a service that judges here do not use."
LEFT: Final = {
    "agent-rubric": "It needs an agent with tools.",
    "answer-relevance": "It asks for questions to the answer and compares embeddings, in several steps.",
    "assert-set": "It groups assertions with a threshold.",
    "classifier": _ELSEWHERE,
    "contains-html": _FORMS,
    "contains-json": "JSON within a text is not looked for here; an answer is JSON as a whole or is not.",
    "contains-sql": _FORMS,
    "contains-xml": _FORMS,
    "context-faithfulness": _CONTEXT,
    "context-recall": _CONTEXT,
    "context-relevance": _CONTEXT,
    "conversation-relevance": "It judges several turns of a conversation one after the other.",
    "cost": "Cost is measured by every run and is no grader; see the report.",
    "guardrails": _ELSEWHERE,
    "human": "A person judges it; use reviews.",
    "is-html": _FORMS,
    "is-sql": _FORMS,
    "is-valid-function-call": "The declarations of the tools are no part of a grader.",
    "is-valid-openai-function-call": "The declarations of the tools are no part of a grader.",
    "is-valid-openai-tools-call": "The declarations of the tools are no part of a grader.",
    "javascript": _JAVASCRIPT,
    "latency": "Time is measured by every run and is no grader; see the report.",
    "levenshtein": "It counts single edits; fuzzy_match gives a share, which no count of edits equals.",
    "max-score": "It picks the best of several answers.",
    "moderation": _ELSEWHERE,
    "perplexity": "It needs probabilities of tokens, which answers do not have here.",
    "perplexity-score": "It needs probabilities of tokens, which answers do not have here.",
    "pi": _ELSEWHERE,
    "ruby": "Ruby is not run here; write it as a Python grader.",
    "search-rubric": "It needs a judge that searches the web.",
    "select-best": "It picks the best of several answers; a preference of a judge compares two.",
    "similar:dot": "Only the cosine of embeddings is a metric here.",
    "similar:euclidean": "Only the cosine of embeddings is a metric here.",
    "skill-used": _TRACES,
    "tool-call-f1": "The share of tools that were called is no grader here.",
    "video-rubric": "Judges are shown no videos here.",
    "webhook": "Answers are sent to no other address.",
}
_FAMILIES = {
    "trajectory:": _TRACES,
    "trace-": _TRACES,
    "promptfoo:redteam:": "Attacks and what they look for are no graders.",
}


def reason_of(kind: str) -> str:
    """Why an assertion of this type, without `not-`, is not carried."""
    if kind in LEFT:
        return LEFT[kind]
    for beginning, reason in _FAMILIES.items():
        if kind.startswith(beginning):
            return reason
    return f"There is no assertion of the type “{kind[:60]}” here."

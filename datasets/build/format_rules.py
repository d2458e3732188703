"""Every rule of a training file as a table: its name, how bad it is, whom it concerns, what helps. Pure.

The names of the format's own checks follow
https://cookbook.openai.com/examples/chat_finetuning_data_prep
docs/validation.md is this table.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from datasets.models import Purpose

Severity = Literal["error", "warning"]

SFT, DPO, RFT, EVALS = Purpose.SUPERVISED, Purpose.PREFERENCE, Purpose.REINFORCEMENT, Purpose.EVALUATION
ALL: Final = frozenset({SFT, DPO, RFT, EVALS})
JOBS: Final = frozenset({SFT, DPO, RFT})
ANSWERS: Final = frozenset({SFT, DPO})
Place = Literal["line", "answer", "file", "job"]


@dataclass(frozen=True, slots=True)
class Rule:
    """An `error` makes the provider refuse the file or the job; a `warning` is for a person to judge.

    `place` says what is looked at: a line as it is written, the answer that it was made from, the file as a
    whole, or the job. A rule of one provider `only` is a warning while nobody knows who will read the file.
    """

    code: str
    severity: Severity
    words: str
    fix: str = ""
    purposes: frozenset[str] = JOBS
    only: str = ""
    place: Place = "line"

    def severity_for(self, provider: str) -> Severity | None:
        """How bad it is there; None where the rule does not hold."""
        if not self.only or self.only == provider:
            return self.severity
        return None if provider else "warning"


def _table(rules: Iterable[Rule]) -> dict[str, Rule]:
    return {rule.code: rule for rule in rules}


RULES: Final = _table((
    # The bytes.
    Rule("bom", "error", "The file starts with a byte order mark", "remove_bom", ALL, only="openai"),
    Rule("not_utf8", "error", "The line is not UTF-8", "leave_out", ALL),
    Rule("not_json", "error", "The line is not JSON", "leave_out", ALL),
    Rule("not_finite", "error", "It holds a number that JSON does not have, or one too large to be read",
         "leave_out", ALL),
    Rule("data_type", "error", "The line is not a JSON object", "leave_out", ALL),
    Rule("line_separator", "warning", "It holds a character that some readers take for the end of a line",
         "escape_line_ends", ALL),
    Rule("half_character", "error", "Its text holds half a character, which no UTF-8 file can carry",
         "replace_half_characters", ALL),
    # The object.
    Rule("unrecognized_key", "error", "The line has a key that is not known", "remove_unknown_keys", ANSWERS),
    Rule("missing_messages_list", "error", "There is no list of messages", "leave_out"),
    Rule("missing_input", "error", "There is no `input`, which holds what was asked", "leave_out",
         frozenset({DPO})),
    Rule("old_outputs", "error", "The outputs have the names of an older format, `…_completion`",
         "rename_outputs", frozenset({DPO})),
    Rule("missing_output", "error", "There is no list of messages as preferred or as non-preferred output",
         "leave_out", frozenset({DPO})),
    Rule("missing_item", "error", "There is no `item`", "wrap_item", frozenset({EVALS})),
    Rule("missing_field", "error", "A field that the grader names is missing", "leave_out", frozenset({RFT})),
    # Messages.
    Rule("too_many_messages", "error", "There are more than 2,048 messages", "leave_out"),
    Rule("message_missing_key", "error", "A message has no role or no content", "leave_out"),
    Rule("message_unrecognized_key", "error", "A message has a key that is not known", "remove_unknown_keys"),
    Rule("null_value", "warning", "A key stands with null in place of a value", "remove_nulls"),
    Rule("unrecognized_role", "error", "A message has a role that is not known", "known_roles"),
    Rule("missing_content", "error", "A message's content is neither text nor parts", "leave_out"),
    Rule("unrecognized_part", "error", "A part of a message is neither text nor an image", "leave_out"),
    Rule("output_role", "error", "An output holds a message that is neither the assistant's nor a tool's",
         "leave_out", frozenset({DPO})),
    Rule("example_missing_assistant_message", "error", "There is no answer of the assistant",
         "leave_out", ANSWERS),
    Rule("trailing_message", "error", "The last message is not the assistant's", "drop_trailing",
         frozenset({SFT})),
    Rule("last_not_user", "error", "The last message is not the user's", "drop_trailing", frozenset({RFT})),
    Rule("weight", "error", "A weight is neither 0 nor 1, or not on an answer", "mend_weights"),
    Rule("nothing_to_train", "error", "Every answer has weight 0", "train_on_last", frozenset({SFT})),
    # Images.
    Rule("image_elsewhere", "error", "An image stands outside the user's messages", "leave_out"),
    Rule("image_type", "error", "An embedded image is neither PNG, JPEG nor WEBP", "leave_out"),
    Rule("image_too_large", "error", "An image has more than 10 MB", "leave_out"),
    Rule("too_many_images", "error", "There are more than 64 images", "leave_out"),
    Rule("remote_image", "warning", "An image is given by its address; the provider must be able to fetch it",
         "leave_out"),
    Rule("image_model", "warning", "The base model is not known to be trained with images", "leave_out"),
    Rule("image_in_pair", "error", "Preference pairs are text only", "leave_out", frozenset({DPO}),
         only="openai"),
    # Tools.
    Rule("tool_definition", "error", "A tool is not defined as a function with a name", "leave_out"),
    Rule("too_many_tools", "error", "There are more than 128 tools", "leave_out"),
    Rule("parallel_tool_calls", "error", "`parallel_tool_calls` is not true or false, or there are no tools",
         "remove_parallel"),
    Rule("tool_call", "error", "A tool call has no id or names no function", "leave_out"),
    Rule("tool_call_without_tools", "error", "A tool is called that `tools` does not define", "leave_out"),
    Rule("tool_arguments", "error", "A tool call's arguments are not JSON", "leave_out"),
    Rule("tool_id_lost", "error", "A tool's result answers no earlier call", "leave_out"),
    Rule("old_functions", "warning", "It calls functions in the old way, in place of tools", "leave_out"),
    # What is learnt.
    Rule("empty_text", "warning", "An answer that is trained on is empty", "drop_empty", ANSWERS),
    Rule("refusal", "warning", "The answer declines to help; the model learns to decline",
         "drop_refusals", ANSWERS),
    Rule("same_output", "warning", "Both outputs are the same, so nothing is preferred", "leave_out",
         frozenset({DPO})),
    Rule("personal", "warning", "Its text seems to hold personal data or a secret", "replace_personal", ALL),
    Rule("duplicate", "warning", "The same line occurs before", "leave_out_duplicates", ALL),
    Rule("overlap", "warning", "The same line stands in the training file, so it validates nothing",
         "leave_out"),
    Rule("over_long", "warning", "More tokens than the model is trained with; the provider cuts the end off",
         "leave_out_long"),
    # The answer as it was stored.
    Rule("truncated", "warning", "The answer was cut off at its length limit; the model learns to stop there",
         "drop_truncated", ANSWERS, place="answer"),
    Rule("filtered", "warning", "The answer was cut off by a content filter", "drop_filtered", ANSWERS,
         place="answer"),
    Rule("uncorrected", "warning", "Somebody corrected this answer, but the recipe takes the original",
         "use_corrections", frozenset({SFT}), place="answer"),
    Rule("disapproved", "warning", "The answer was rejected or rated bad", "only_approved", frozenset({SFT}),
         place="answer"),
    # The file and the job.
    Rule("too_few", "error", "There are fewer than 10 examples", place="file"),
    Rule("too_large", "error", "The file has more than 512 MB", place="file"),
    Rule("few", "warning", "There are fewer than 50 examples; 50 to 100 are advised", place="file"),
    Rule("too_many_with_images", "error", "More than 50,000 examples have images", place="file"),
    Rule("no_validation", "error", "A reinforcement job needs rows for validation", "add_validation",
         frozenset({RFT}), place="job"),
    Rule("too_many_tokens", "error", "The job trains more than 2 billion tokens over its epochs", "",
         only="azure", place="job"),
    Rule("completions_model", "error", "The base model takes a prompt and a completion, not a conversation",
         place="job"),
    Rule("method_model", "warning", "The base model is not known to be trained in this way", place="job"),
    Rule("grader", "error", "The grader cannot grade", purposes=frozenset({RFT}), place="job"),
))  # fmt: skip

"""Ready-to-run configurations to train on a version elsewhere: a script for TRL, YAML for Axolotl.

https://huggingface.co/docs/trl/dataset_formats
https://docs.axolotl.ai/docs/dataset-formats/conversation.html and https://docs.axolotl.ai/docs/rlhf.html

Nothing that a person wrote stands in them but a name made of letters, digits and hyphens.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from datasets import packing, reading
from datasets.build import files
from datasets.cards import stem
from datasets.models import DatasetVersion, Part, Purpose
from datasets.recipe import Recipe, Unreadable

TRL, AXOLOTL, REWARDS = "trl_train.py", "axolotl.yaml", "rewards.py"

_HEAD: Final = '''"""Train on this dataset with TRL (https://huggingface.co/docs/trl): pip install trl, then
python trl_train.py --model NAME, with the files of data/ beside it."""

import argparse
import json
from pathlib import Path

from datasets import Dataset
from trl import {names}
{imports}
parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True, help="a model of the Hugging Face Hub, or a folder")
parser.add_argument("--output", default="{stem}-{kind}")
parser.add_argument("--epochs", type=float, default={epochs})
parser.add_argument("--lora", action="store_true", help="train adapters only; needs pip install peft")
asked = parser.parse_args()


def rows(part):
    """The rows of a part; None where the dataset has no such part."""
    path = Path(__file__).parent / "data" / f"{{part}}.jsonl"
    if not path.exists():
        return None
    with path.open(encoding="utf-8-sig") as file:
        return Dataset.from_list([row(json.loads(line)) for line in file if line.strip()])


def tools(held):
    """Tools go as text: their schemas differ too much for one table."""
    return {{"tools": json.dumps(held["tools"])}} if held.get("tools") else {{}}


def plain(message):
    """A message without what only says how to train on it."""
    return {{name: value for name, value in message.items() if name != "weight"}}

'''
_TAIL: Final = """

peft = None
if asked.lora:
    from peft import LoraConfig

    peft = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
train, validation = rows("train"), rows("validation")
trainer = {trainer}(
    model=asked.model,
    args={config}(
        output_dir=asked.output,
        num_train_epochs=asked.epochs,
        eval_strategy="epoch" if validation else "no",
        report_to="none",
{options}    ),
    train_dataset=train,
    eval_dataset=validation,
    peft_config=peft,
{more})
trainer.train()
trainer.save_model()
"""
_ROWS: Final = {
    "sft_all": """
def row(held):
    return {"messages": [plain(message) for message in held["messages"]], **tools(held)}
""",
    "sft_last": """
def row(held):
    messages = [plain(message) for message in held["messages"]]
    return {"prompt": messages[:-1], "completion": messages[-1:], **tools(held)}
""",
    "dpo": """
def row(held):
    given = held["input"]
    return {
        "prompt": given["messages"],
        "chosen": held["preferred_output"],
        "rejected": held["non_preferred_output"],
        **tools(given),
    }
""",
    "grpo": """
def row(held):
    return {"prompt": held["messages"], "item": json.dumps(held)}
""",
}
_REWARDS: Final = '''"""What an answer is worth. Put your own measure in place of `worth`."""

import json

FIELD = {field}  # of each row: what the answer is compared with


def worth(answer, row):
    """1 for the expected answer, 0 for another."""
    return float(answer.strip() == str(row.get(FIELD, "")).strip())


def matches(completions, item, **_):
    """A reward function of TRL: one number for each answer."""
    texts = [said if isinstance(said, str) else said[-1]["content"] for said in completions]
    return [worth(text, json.loads(row)) for text, row in zip(texts, item)]


def transform(cfg, *args, **kwargs):
    """How Axolotl reads a row."""

    def read(row, tokenizer=None):
        return {{"prompt": row["messages"], "item": json.dumps(row)}}

    return read, {{"remove_columns": ["messages"]}}
'''


def offered(version: DatasetVersion) -> bool:
    """Whether the version is something to train on."""
    return version.dataset.purpose != Purpose.EVALUATION


def texts(version: DatasetVersion) -> dict[str, str]:
    """The files by their names; none for what is only measured on."""
    if not offered(version):
        return {}
    found = {TRL: trl(version), AXOLOTL: axolotl(version)}
    if version.dataset.purpose == Purpose.REINFORCEMENT:
        found[REWARDS] = _REWARDS.format(field=json.dumps(_reference(version)))
    return found


def trl(version: DatasetVersion) -> str:
    """A Python script."""
    kind = _kind(version)
    trainer = {"dpo": "DPOTrainer", "grpo": "GRPOTrainer"}.get(kind, "SFTTrainer")
    config = trainer.replace("Trainer", "Config")
    options = {
        "sft_all": "        assistant_only_loss=True,  # needs a chat template with {% generation %} marks\n",
        "dpo": "        beta=0.1,\n",
        "grpo": "        num_generations=8,\n        max_completion_length=1024,\n",
    }.get(kind, "")
    head = _HEAD.format(
        names=f"{config}, {trainer}",
        imports="\nfrom rewards import matches\n" if kind == "grpo" else "",
        stem=stem(version),
        kind=kind.partition("_")[0],
        epochs=1 if kind in ("dpo", "grpo") else 3,
    )
    more = "    reward_funcs=matches,\n" if kind == "grpo" else ""
    return head + _ROWS[kind] + _TAIL.format(trainer=trainer, config=config, options=options, more=more)


def axolotl(version: DatasetVersion) -> str:
    """A YAML file: `axolotl train axolotl.yaml`."""
    kind = _kind(version)
    parts = {part.name for part in version.parts}
    settings: list[tuple[str, Any]] = [
        ("base_model", "CHOOSE-A-MODEL"),
        ("chat_template", "tokenizer_default"),
        *_method(kind),
        ("datasets", [_source(kind, "train")]),
        *([("test_datasets", [_source(kind, "validation")])] if "validation" in parts else []),
        ("dataset_prepared_path", "./prepared"),
        ("output_dir", f"./{stem(version)}-{kind.partition('_')[0]}"),
        ("sequence_len", 4096),
        ("adapter", "lora"),
        ("lora_r", 16),
        ("lora_alpha", 32),
        ("lora_target_linear", True),
        ("micro_batch_size", 1),
        ("gradient_accumulation_steps", 8),
        ("num_epochs", 1 if kind in ("dpo", "grpo") else 3),
        ("learning_rate", 0.00001 if kind in ("dpo", "grpo") else 0.0002),
        ("optimizer", "adamw_torch_fused"),
        ("lr_scheduler", "cosine"),
        ("bf16", "auto"),
        ("gradient_checkpointing", True),
    ]
    told = "# Axolotl (https://docs.axolotl.ai): set base_model, then run axolotl train axolotl.yaml\n"
    return told + "".join(_yaml(name, value) for name, value in settings)


def flat_rows(version: DatasetVersion) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Preference pairs as Axolotl reads them, part by part; nothing for what it reads as it is."""
    if version.dataset.purpose != Purpose.PREFERENCE:
        return
    for part in version.parts:
        yield f"axolotl/{part.name}.jsonl", _flat(version, part)


def _flat(version: DatasetVersion, part: Part) -> Iterator[bytes]:
    left = b""
    for piece in packing.part(version, part):
        *whole, left = (left + piece).split(b"\n")
        yield from (_flattened(line) for line in whole if line.strip())
    if left.strip():
        yield _flattened(left)


def _flattened(line: bytes) -> bytes:
    talks = reading.read(reading.parsed(line.removeprefix(b"\xef\xbb\xbf"))).talks
    asked, better, worse = ([_said(message) for message in talk.messages] for talk in talks)
    return files.as_line({"messages": asked, "chosen": better[-1], "rejected": worse[-1]})


def _said(message: Any) -> dict[str, str]:
    return {"role": message.role, "content": message.text}


def _kind(version: DatasetVersion) -> str:
    purpose = version.dataset.purpose
    if purpose == Purpose.SUPERVISED:
        return "sft_last" if _recipe(version).train_on == "last" else "sft_all"
    return "dpo" if purpose == Purpose.PREFERENCE else "grpo"


def _recipe(version: DatasetVersion) -> Recipe:
    try:
        return Recipe.read(version.recipe)
    except Unreadable:
        return Recipe()


def _reference(version: DatasetVersion) -> str:
    """The first field of a row beside its messages."""
    example = version.examples.filter(line__isnull=False).order_by("position").first()
    found = reading.read(files.read_line(version, example)).extra if example else {}
    return next((name for name, value in found.items() if isinstance(value, str)), "reference_answer")


def _method(kind: str) -> list[tuple[str, Any]]:
    if kind == "dpo":
        return [("rl", "dpo")]
    if kind == "grpo":
        reward = {"beta": 0.001, "num_generations": 8, "max_completion_length": 1024}
        return [("rl", "grpo"), ("trl", {**reward, "reward_funcs": ["rewards.matches"]})]
    return []


def _source(kind: str, part: str) -> dict[str, Any]:
    folder = "axolotl" if kind == "dpo" else "data"
    held: dict[str, Any] = {"path": f"{folder}/{part}.jsonl", "ds_type": "json", "split": "train"}
    if kind == "dpo":
        return {
            **held,
            "type": "chat_template.default",
            "field_messages": "messages",
            "field_chosen": "chosen",
            "field_rejected": "rejected",
        }
    if kind == "grpo":
        return {**held, "type": "rewards.transform"}
    trained = {"message_field_training": "weight"} if kind == "sft_last" else {}
    return {
        **held,
        "type": "chat_template",
        "field_messages": "messages",
        "field_tools": "tools",
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
        **trained,
    }


def _yaml(name: str, value: Any, depth: int = 0) -> str:
    """A setting as YAML: names are ours, values are written as JSON, which YAML reads."""
    room = "  " * depth
    if isinstance(value, Mapping):
        return f"{room}{name}:\n" + "".join(_yaml(key, each, depth + 1) for key, each in value.items())
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        text = f"{room}{name}:\n"
        for entry in value:
            lines = "".join(_yaml(key, each, depth + 2) for key, each in entry.items())
            text += f"{room}  - {lines.lstrip()}"
        return text
    # A number like 1e-05 would be read as text.
    written = format(value, "f").rstrip("0") if isinstance(value, float) else json.dumps(value)
    return f"{room}{name}: {written}\n"

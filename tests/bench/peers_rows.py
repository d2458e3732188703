"""The rows that everybody gets, as lines of JSON: `python -m tests.bench.peers_rows ROWS FILE`."""

import json
import sys
from pathlib import Path

import django


def main(count: int, file: Path) -> None:
    """Written beside and moved into place, so that a file is whole or not there."""
    from tests.bench import rows as made_up

    half = file.with_suffix(".half")
    with half.open("w") as lines:
        for number, reading in enumerate(made_up.readings(count, 0, 1, total=count)):
            columns = reading.columns
            line = {
                "n": number,
                "created": columns["created"],
                "model": columns["model"],
                "metadata": columns["metadata"],
                "tokens": [columns["prompt_tokens"], columns["completion_tokens"], columns["total_tokens"]],
                "prompt": f"{reading.texts.system}\n\n{reading.texts.prompt}",
                "answer": reading.texts.answer,
            }
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
    half.rename(file)


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]), Path(sys.argv[2]))

"""Tables with types, where pyarrow is installed (the extra `parquet`).

A Parquet file is closed by a footer and cannot be gone on with. So an operation writes lines first, from
which this makes the file, some thousand rows at a time.
"""

import json
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from completions.exporting.lines import DECIMALS, NUMBERS

ROWS_AT_ONCE = 2_000
MOST_ROWS = 500_000  # made into the file by one step


def installed() -> bool:
    """Whether this installation can write Parquet."""
    return find_spec("pyarrow") is not None


def row(names: Iterable[str], cells: Iterable[Any]) -> bytes:
    """One row as it waits for its file."""
    typed = [_typed(name, cell) for name, cell in zip(names, cells, strict=True)]
    return json.dumps(typed, separators=(",", ":")).encode() + b"\n"


def write(path: Path, names: list[str], chunks: Iterable[bytes]) -> None:
    """Make the file of rows that wait."""
    import pyarrow  # only where it is asked for: it takes its time and its memory
    import pyarrow.parquet

    kinds = {name: pyarrow.int64() for name in NUMBERS} | {name: pyarrow.float64() for name in DECIMALS}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in names])
    lines = _lines(chunks)
    with pyarrow.parquet.ParquetWriter(str(path), schema, compression="zstd") as writer:
        while batch := [json.loads(line) for line in islice(lines, ROWS_AT_ONCE)]:
            columns = [
                pyarrow.array(list(column), field.type)
                for column, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


def _typed(name: str, cell: Any) -> Any:
    if name in NUMBERS | DECIMALS:
        return cell
    # Half characters have no place in a file whose texts are UTF-8.
    return None if cell is None else str(cell).encode("utf-8", "replace").decode()


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole

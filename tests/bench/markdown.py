"""Tables and numbers in markdown."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A table in markdown."""
    made = [header, ["---"] * len(header), *lines]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in made] + [""]


def ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def named(step: int) -> str:
    if step % 1000:
        return f"{step:,}"
    return f"{step // 1_000_000}M" if step % 1_000_000 == 0 else f"{step // 1000}k"

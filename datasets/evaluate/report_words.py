"""Numbers as every report says them. Pure."""

SIGNIFICANT = 0.05


def chance(p: float) -> str:
    """A p-value as a report says it."""
    said = "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
    return f"p {said}".replace(" ", "\N{NO-BREAK SPACE}")


def signed(number: float, decimals: int = 1) -> str:
    """A number with so many decimals and its sign, as print writes it."""
    text = f"{abs(number):.{decimals}f}"
    return text if not float(text) else f"{'+' if number > 0 else '−'}{text}"  # noqa: RUF001  # a minus sign is meant

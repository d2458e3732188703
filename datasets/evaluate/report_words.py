"""Numbers as every report says them. Pure."""

SIGNIFICANT = 0.05


def chance(p: float) -> str:
    """A p-value as a report says it, with as many decimals as show on which side of the limit it is."""
    said = "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
    if round(p, 3) == SIGNIFICANT:
        told = (f"{p:.{decimals}f}" for decimals in range(3, 9))
        said = f"= {next((text for text in told if (float(text) < SIGNIFICANT) == (p < SIGNIFICANT)), p)}"
    return f"p {said}".replace(" ", "\N{NO-BREAK SPACE}")


def signed(number: float, decimals: int = 1, finest: int = 0) -> str:
    """A number with so many decimals and its sign, as print writes it; with up to `finest` where it would
    look like none.
    """
    told = [f"{abs(number):.{each}f}" for each in range(decimals, max(decimals, finest) + 1)]
    text = next((each for each in told if float(each)), told[0])
    return text if not float(text) else f"{'+' if number > 0 else '−'}{text}"  # noqa: RUF001  # a minus sign is meant

"""Repeatable choices: the same keys always give the same stream, on every Python version."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1


def digest(*keys: object) -> int:
    """A 64-bit number that depends on the keys alone."""
    return int.from_bytes(
        blake2b("\x1f".join(map(str, keys)).encode("utf-8", "replace"), digest_size=8).digest()
    )


def share(*keys: object) -> float:
    """A number in [0, 1) that depends on the keys alone."""
    return (digest(*keys) >> 11) / (1 << 53)


class Draw:
    """A stream of choices (splitmix64), far cheaper to start than ``random.Random``."""

    __slots__ = ("state",)

    def __init__(self, *keys: object) -> None:
        self.state = digest(*keys)

    def number(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, limit: int) -> int:
        return self.number() % limit

    def between(self, low: int, high: int) -> int:
        return low + self.number() % (high - low + 1)

    def unit(self) -> float:
        return (self.number() >> 11) / (1 << 53)

    def chance(self, probability: float) -> bool:
        return self.unit() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[self.number() % len(options)]

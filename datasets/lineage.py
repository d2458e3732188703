"""What came of what, as a small graph: nodes in columns, and the lines between them. Pure.

Columns stand in the order of the work: rows, dataset, file, job, model, deployment, run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    "rows": "Completions",
    "version": "Dataset versions",
    "file": "Files",
    "job": "Fine-tunes",
    "model": "Models",
    "deployment": "Deployments",
    "run": "Evaluations",
}
MOST: Final = 5  # of one kind; the rest is a number
# The page lays the columns out by the same numbers, see css/lineage.css.
WIDTH, HEIGHT, ACROSS, BETWEEN, TOP = 150, 48, 36, 12, 30


@dataclass(frozen=True)
class Node:
    """One thing. `key` tells it apart within its kind; without `href` it cannot be opened."""

    kind: str
    key: str
    title: str
    note: str = ""
    href: str = ""
    tone: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.key}"


@dataclass(frozen=True)
class Placed:
    """A node where it is drawn. `comes_from` are the titles of what it was made from, for who hears it."""

    node: Node
    current: bool
    comes_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """The nodes of one kind; `more` were left out."""

    kind: str
    title: str
    nodes: tuple[Placed, ...]
    more: int = 0


@dataclass(frozen=True)
class Picture:
    """What a page shows: columns of links, and the paths behind them."""

    columns: tuple[Column, ...]
    paths: tuple[str, ...]
    width: int
    height: int

    @property
    def is_alone(self) -> bool:
        """Whether there is nothing but the thing itself."""
        return sum(len(column.nodes) for column in self.columns) < 2


@dataclass
class Graph:
    """Nodes and what leads to what, gathered around `current`."""

    current: str = ""
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)

    def add(self, node: Node, *, after: str = "", before: str = "") -> str:
        """Put a node in, led to by `after`, leading to `before`; returns its id. A second time adds lines."""
        self.nodes.setdefault(node.id, node)
        if after:
            self.edges[after, node.id] = None
        if before:
            self.edges[node.id, before] = None
        return node.id

    def leave_out(self, kind: str, count: int) -> None:
        """Say that there are more of a kind than were gathered."""
        if count > 0:
            self.more[kind] = self.more.get(kind, 0) + count


def draw(graph: Graph) -> Picture:
    """The graph in columns; in each the current one first, then those with the most lines, as they came."""
    columns: list[Column] = []
    places: dict[str, tuple[int, int]] = {}
    touched = _touched(graph)
    for kind, title in KINDS.items():
        nodes = [node for node in graph.nodes.values() if node.kind == kind]
        if not nodes:
            continue
        nodes.sort(key=lambda node: (node.id != graph.current, node.id not in touched))
        shown = nodes[:MOST]
        for row, node in enumerate(shown):
            places[node.id] = (len(columns), row)
        placed = tuple(
            Placed(node, node.id == graph.current, tuple(_titles(graph, node.id))) for node in shown
        )
        columns.append(Column(kind, title, placed, len(nodes) - len(shown) + graph.more.get(kind, 0)))
    paths = tuple(_path(places[a], places[b]) for a, b in graph.edges if a in places and b in places)
    rows = max((len(column.nodes) + bool(column.more) for column in columns), default=0)
    width = len(columns) * (WIDTH + ACROSS) - ACROSS if columns else 0
    return Picture(tuple(columns), paths, max(0, width), TOP + rows * (HEIGHT + BETWEEN))


def _touched(graph: Graph) -> set[str]:
    """What the current node came from and what came of it, so that the lines of its own way are kept."""
    found = {graph.current}
    for backwards in (True, False):
        ahead = [graph.current]
        while ahead:
            at = ahead.pop()
            for first, second in graph.edges:
                here, there = (second, first) if backwards else (first, second)
                if here == at and there not in found:
                    found.add(there)
                    ahead.append(there)
    return found


def _titles(graph: Graph, identity: str) -> Iterable[str]:
    return (graph.nodes[a].title for a, b in graph.edges if b == identity and a in graph.nodes)


def _path(start: tuple[int, int], end: tuple[int, int]) -> str:
    """A curve from the right side of one to the left side of the other; beside each other in one column."""
    (column, row), (last, below) = start, end
    x, y = column * (WIDTH + ACROSS) + WIDTH, _middle(row)
    to_x, to_y = last * (WIDTH + ACROSS), _middle(below)
    if column == last:
        return f"M{x} {y}C{x + ACROSS // 2} {y} {x + ACROSS // 2} {to_y} {x} {to_y}"
    bend = (to_x - x) // 2
    return f"M{x} {y}C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"


def _middle(row: int) -> int:
    return TOP + row * (HEIGHT + BETWEEN) + HEIGHT // 2

"""Draws the rooms of the package and the arrows between them, and lists what lives where, from the code itself.

A room is a folder of ``metaopt/`` or a file directly in it. What lives there is the first sentence of its docstring;
there is an arrow to each room whose code it imports.
"""

from __future__ import annotations

import ast
import csv
import itertools
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "metaopt"
WIDTH, ROW, BOX, GAP = 900, 74, 28, 14  # of the drawing, from row to row, a box's height, between boxes
LETTER = 7.4  # width of one, in pixels

Rooms = Mapping[str, str]
Arrows = Mapping[str, set[str]]


def write(folder: Path) -> None:
    """``rooms.svg`` and ``rooms.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    arrows = imports(PACKAGE)
    rooms = sentences(PACKAGE)
    (folder / "rooms.svg").write_text(draw(needed(arrows)), encoding="utf-8")
    heights = levels(arrows)
    with (folder / "rooms.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["room", "what lives there", "imports"])
        for room in sorted(rooms, key=lambda room: (heights[room], room)):
            lines.writerow([f"``{room}``", rooms[room], ", ".join(sorted(arrows[room]))])


def sentences(package: Path) -> Rooms:
    """room -> the first sentence of its docstring."""
    return {
        room: _sentence(ast.get_docstring(ast.parse(files[0].read_text())) or "") for room, files in _rooms(package)
    }


def imports(package: Path) -> Arrows:
    """room -> the rooms whose code it imports, inside functions as well."""
    names = [room for room, _ in _rooms(package)]
    found = {room: {target for file in files for target in _targets(file, package)} for room, files in _rooms(package)}
    return {
        room: {target for target in targets if target in names and target != room} for room, targets in found.items()
    }


def needed(arrows: Arrows) -> Arrows:
    """Without the arrows that a way over other rooms implies."""
    seen: dict[str, set[str]] = {}
    for room in sorted(arrows, key=levels(arrows).__getitem__):
        seen[room] = arrows[room].union(*(seen[target] for target in arrows[room]))
    return {room: {t for t in ts if not any(t in seen[other] for other in ts)} for room, ts in arrows.items()}


def levels(arrows: Arrows) -> dict[str, int]:
    """room -> the length of the longest way down from it."""
    found: dict[str, int] = {}

    def level(room: str) -> int:
        if room not in found:
            found[room] = 1 + max((level(target) for target in arrows[room]), default=-1)
        return found[room]

    return {room: level(room) for room in arrows}


def draw(arrows: Arrows) -> str:
    """An SVG drawing: every room below those that import it, and an arrow for each pair of ``arrows``."""
    ways = _ways(arrows, levels(arrows))
    rows = _ordered(ways)
    place = _places(rows)
    height = ROW * len(rows)
    lines = []
    for way in ways:
        points = [place[node] for node in way]
        if len(points) > 1:
            lines.append(f'<path class="way" d="{_curve(points)}" marker-end="url(#tip)"/>')
    boxes = []
    for node, (x, y) in place.items():
        if isinstance(node, str):
            w = _width(node)
            boxes.append(f'<rect x="{x - w / 2:.1f}" y="{y - BOX / 2}" width="{w:.1f}" height="{BOX}" rx="5"/>')
            boxes.append(f'<text x="{x:.1f}" y="{y + 4.5}">{escape(node)}</text>')
    style = (
        "text{font:13px sans-serif;text-anchor:middle;fill:#17202a}rect{fill:#e7eff8;stroke:#2f6fb0}"
        ".way{fill:none;stroke:#7a8794;stroke-width:1.2}.ground{fill:#fff;stroke:none}"
    )
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.5L7 4L0 7.5z" fill="#7a8794"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f'<style>{style}</style><defs>{tip}</defs><rect class="ground" width="{WIDTH}" height="{height}"/>'
        f"{''.join(lines)}{''.join(boxes)}</svg>\n"
    )


Node = str | tuple[str, str, int]  # a room, or the place where a long arrow (from, to) crosses a row
Place = tuple[float, float]


def _rooms(package: Path) -> Iterator[tuple[str, list[Path]]]:
    """(name, its files, the one with the docstring first)"""
    for path in sorted(package.iterdir()):
        if path.is_dir() and (path / "__init__.py").exists():
            yield path.name, sorted(path.rglob("*.py"), key=lambda file: file != path / "__init__.py")
        elif path.suffix == ".py" and not path.name.startswith("__"):
            yield path.stem, [path]


def _sentence(docstring: str) -> str:
    text = " ".join(docstring.split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".") + "."


def _targets(file: Path, package: Path) -> Iterator[str]:
    inside = (package.name, *file.relative_to(package).parts)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = inside[: -node.level] if node.level else ()
            full = [*base, *(node.module.split(".") if node.module else [])]
            yield from ([*full, alias.name][1] for alias in node.names if full[:1] == [package.name])
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
            yield from (names[1] for names in parts if names[0] == package.name and len(names) > 1)


def _ways(arrows: Arrows, heights: Mapping[str, int]) -> list[list[Node]]:
    """Every arrow as its nodes, one in each row that it crosses; and every room by itself."""
    ways: list[list[Node]] = [[room] for room in sorted(heights, key=lambda room: (heights[room], room))]
    for room, targets in sorted(arrows.items()):
        for target in sorted(targets):
            between = [(room, target, row) for row in range(heights[room] - 1, heights[target], -1)]
            ways.append([room, *between, target])
    return ways


def _ordered(ways: Sequence[Sequence[Node]]) -> list[list[Node]]:
    """The nodes of each row, the upper rows first, in an order in which few arrows cross (barycentres, both ways)."""
    heights = levels({way[0]: {w[-1] for w in ways if w[0] == way[0] and len(w) > 1} for way in ways})  # type: ignore[misc]
    row_of = {node: heights[node] if isinstance(node, str) else node[2] for way in ways for node in way}
    rows: list[list[Node]] = [[] for _ in range(max(row_of.values()) + 1)]
    for node, row in row_of.items():
        rows[len(rows) - 1 - row].append(node)
    above: dict[Node, list[Node]] = {node: [] for node in row_of}
    below: dict[Node, list[Node]] = {node: [] for node in row_of}
    for way in ways:
        for a, b in itertools.pairwise(way):
            below[a].append(b)
            above[b].append(a)
    for sweep in range(24):
        near = above if sweep % 2 == 0 else below
        place = _places(rows)
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            middle = {node: _mean([place[n][0] for n in near[node]], place[node][0]) for node in row}
            row.sort(key=middle.__getitem__)
            place.update(_places(rows))
    return rows


def _places(rows: Sequence[Sequence[Node]]) -> dict[Node, Place]:
    """The middle of every node: each row is centred, with even gaps."""
    found: dict[Node, Place] = {}
    for i, row in enumerate(rows):
        total = sum(_width(node) for node in row)
        gap = min(90.0, max(GAP, (WIDTH - total) / (len(row) + 1)))
        x = (WIDTH - total - gap * (len(row) - 1)) / 2
        for node in row:
            found[node] = (x + _width(node) / 2, ROW * (i + 0.5))
            x += _width(node) + gap
    return found


def _width(node: Node) -> float:
    return LETTER * len(node) + 22 if isinstance(node, str) else 4.0


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _curve(points: Sequence[Place]) -> str:
    """From the lower edge of the first box to the upper one of the last, vertical where it crosses a row."""
    (x, y), *rest = points
    path, y = f"M{x:.1f} {y + BOX / 2}", y + BOX / 2
    for i, (x2, y2) in enumerate(rest):
        end = y2 - BOX / 2 - 1 if i == len(rest) - 1 else y2
        half = (y + end) / 2
        path += f"C{x:.1f} {half:.1f} {x2:.1f} {half:.1f} {x2:.1f} {end:.1f}"
        x, y = x2, end
    return path

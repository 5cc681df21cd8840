"""Draw a measure of several methods against step as SVG, in which the script of a page marks the current step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .chart import round_ticks

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 468, 30, 204
STYLES = 6  # of lines, after which they repeat


@dataclass(frozen=True)
class Curves:
    """Hold a drawing and the coordinates of its points.

    Args:
        svg: The drawing.
        points: For each method, a pair of coordinates for each step; None where the value is not finite.
    """

    svg: str
    points: list[list[tuple[float, float] | None]]


def draw(name: str, curves: Mapping[str, Sequence[float]]) -> Curves:
    """Draw one curve for each method.

    Args:
        name: Name and unit of the measure.
        curves: For each method its value at step 0 and after each step. Values that are not finite are left out.

    Returns:
        The drawing.
    """
    finite = [value for values in curves.values() for value in values if math.isfinite(value)] or [0.0, 1.0]
    ticks = round_ticks(min(finite), max(finite), 5)
    last = max(1, max(map(len, curves.values())) - 1)

    def x(step: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * step / last, 2)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - ticks[0]) / (ticks[-1] - ticks[0]), 2)

    points = [
        [(x(t), y(value)) if math.isfinite(value) else None for t, value in enumerate(values)]
        for values in curves.values()
    ]
    marks = [
        f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y(v)}" y2="{y(v)}"/>'
        f'<text class="tick" x="{LEFT - 7}" y="{y(v)}" dy="0.35em" text-anchor="end">{v:g}</text>'
        for v in ticks
    ]
    gap = max(1, round(round_ticks(0, last, 8)[1]))
    marks += [
        f'<text class="tick" x="{x(t)}" y="{BOTTOM + 8}" dy="0.8em" text-anchor="middle">{t}</text>'
        for t in range(0, last + 1, gap)
    ]
    marks += [
        f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>',
        f'<text class="name" x="2" y="14">{escape(name)}</text>',
        f'<text class="name" x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">step t</text>',
        f'<line class="now" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{BOTTOM}"/>',
    ]
    marks += [_curve(i, line) for i, line in enumerate(points)]
    said = escape(f"{name} against step for {', '.join(curves)}")
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">{"".join(marks)}</svg>'
    return Curves(svg, points)


def _curve(number: int, points: Sequence[tuple[float, float] | None]) -> str:
    seen = [point for point in points if point is not None]
    line = " ".join(f"{x},{y}" for x, y in seen)
    dots = "".join(f'<circle class="point" cx="{x}" cy="{y}" r="2.5"/>' for x, y in seen)
    kind = f"method-{number % STYLES}"
    return (
        f'<g class="{kind}"><polyline class="curve" points="{line}"/>{dots}'
        '<circle class="marker" cx="0" cy="0" r="6" hidden=""/></g>'
    )

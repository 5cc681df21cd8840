"""Draw PSNR against step as SVG inside a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..core.errors import MetaoptError
from .section import Baseline, Iterates

WIDTH, HEIGHT = 480, 290
LEFT, RIGHT, TOP, BOTTOM = 46, 468, 30, 242


@dataclass(frozen=True)
class Chart:
    """Hold a drawing, its legend, and the coordinates of the iterates in it.

    Args:
        svg: The drawing.
        legend: An HTML list.
        points: Coordinates of the iterates, one pair for each step.
    """

    svg: str
    legend: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class _Axes:
    """Map (step, dB) to the coordinates of the drawing."""

    steps: int
    low: float
    high: float

    def x(self, step: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * step / self.steps, 2)

    def y(self, psnr: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (psnr - self.low) / (self.high - self.low), 2)

    def line(self, values: Sequence[float]) -> str:
        return " ".join(f"{self.x(t)},{self.y(value)}" for t, value in enumerate(values))


def draw(iterates: Iterates, baselines: Sequence[Baseline]) -> Chart:
    """Draw the iterates as a curve, the baselines as level lines, and the step up to which the network was trained.

    Args:
        iterates: The iterates of the network.
        baselines: The baselines.

    Returns:
        The chart.

    Raises:
        MetaoptError: A PSNR is not finite.
    """
    paths = [list(baseline.path)[: len(iterates.psnr)] for baseline in baselines]
    values = [*iterates.psnr, *(baseline.psnr for baseline in baselines), *(value for path in paths for value in path)]
    if not all(math.isfinite(value) for value in values):
        raise MetaoptError("A PSNR to be drawn is not finite; leave out estimates that equal their target.")
    ticks = round_ticks(min(values), max(values), 5)
    axes = _Axes(len(iterates.psnr) - 1, ticks[0], ticks[-1])
    points = [(axes.x(t), axes.y(value)) for t, value in enumerate(iterates.psnr)]
    marks = [_grid(axes, ticks), _trained(axes, iterates.trained_steps)]
    marks += [
        _baseline(axes, i, baseline.psnr, path) for i, (baseline, path) in enumerate(zip(baselines, paths, strict=True))
    ]
    dots = "".join(f'<circle class="dot" cx="{x}" cy="{y}" r="2.5"/>' for x, y in points)
    x, y = points[iterates.trained_steps]
    marks += [f'<polyline class="iterates" points="{axes.line(iterates.psnr)}"/>', dots]
    marks += [f'<circle class="marker" cx="{x}" cy="{y}" r="6.5"/>']
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_summary(iterates, baselines)}">'
    return Chart(f"{head}{''.join(marks)}</svg>", _legend(iterates, baselines), points)


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Return evenly spaced round numbers that enclose ``low`` and ``high``.

    Args:
        low: The lower value.
        high: The upper value.
        most: About how many there are at most; there may be two more.

    Returns:
        The numbers.
    """
    span = max(high - low, 1e-3)
    decade = 10 ** math.floor(math.log10(span / most))
    gap = next(digit * decade for digit in (1, 2, 5, 10) if digit * decade >= span / most * (1 - 1e-9))
    first, last = math.floor(low / gap + 1e-9), math.ceil(high / gap - 1e-9)
    return [round(i * gap, 10) for i in range(first, max(last, first + 1) + 1)]


def _grid(axes: _Axes, ticks: Sequence[float]) -> str:
    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{axes.y(v)}" y2="{axes.y(v)}"/>'
        f'<text class="tick" x="{LEFT - 7}" y="{axes.y(v)}" dy="0.35em" text-anchor="end">{v:g}</text>'
        for v in ticks
    ]
    gap = max(1, round(round_ticks(0, axes.steps, 8)[1]))
    lines += [
        f'<line class="axis" x1="{axes.x(t)}" x2="{axes.x(t)}" y1="{BOTTOM}" y2="{BOTTOM + 4}"/>'
        f'<text class="tick" x="{axes.x(t)}" y="{BOTTOM + 8}" dy="0.8em" text-anchor="middle">{t}</text>'
        for t in range(0, axes.steps + 1, gap)
    ]
    lines += [
        f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>',
        '<text class="name" x="2" y="14">PSNR (dB)</text>',
        f'<text class="name" x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">step t</text>',
    ]
    return "".join(lines)


def _trained(axes: _Axes, step: int) -> str:
    x = axes.x(step)
    side, shift = ("end", -6) if step > axes.steps / 2 else ("start", 6)
    return (
        f'<line class="trained" x1="{x}" x2="{x}" y1="{TOP}" y2="{BOTTOM}"/>'
        f'<text class="tick" x="{x + shift}" y="{BOTTOM - 9}" text-anchor="{side}">trained up to here</text>'
    )


def _baseline(axes: _Axes, number: int, psnr: float, path: Sequence[float]) -> str:
    y = axes.y(psnr)
    level = f'<line class="baseline baseline-{number % 3}" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>'
    curve = f'<polyline class="path baseline-{number % 3}" points="{axes.line(path)}"/>' if len(path) > 1 else ""
    return level + curve


def _summary(iterates: Iterates, baselines: Sequence[Baseline]) -> str:
    end = len(iterates.psnr) - 1
    ways = [
        f"{iterates.method} goes from {iterates.psnr[0]:.1f} dB at step 0 to {iterates.psnr[end]:.1f} dB at step {end}"
    ]
    ways += [f"{baseline.name} reaches {baseline.psnr:.1f} dB" for baseline in baselines]
    return escape(f"PSNR against step: {'; '.join(ways)}.")


def _legend(iterates: Iterates, baselines: Sequence[Baseline]) -> str:
    kinds = [("iterates", f"{iterates.method}, each step"), *_baseline_kinds(baselines)]
    items = [
        f'<li><svg viewBox="0 0 30 10" aria-hidden="true"><line class="{kind}" x1="0" x2="30" y1="5" y2="5"/></svg>'
        f"{escape(name)}</li>"
        for kind, name in kinds
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _baseline_kinds(baselines: Sequence[Baseline]) -> list[tuple[str, str]]:
    kinds = []
    for i, baseline in enumerate(baselines):
        kinds.append((f"baseline baseline-{i % 3}", f"{baseline.name}, its result"))
        if len(baseline.path) > 1:
            kinds.append((f"path baseline-{i % 3}", f"{baseline.name}, each step"))
    return kinds

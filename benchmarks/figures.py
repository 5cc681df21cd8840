"""The figures of the documentation, each drawn by the benchmark that measured what it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from .provenance import ROOT

IMAGES = ROOT / "docs" / "images"
Panel = tuple[str, Tensor]  # a caption, and a picture (1, C, H, W) in [0, 1]


def draw_panels(name: str, rows: Sequence[tuple[str, Sequence[Panel]]], width: float = 1.75) -> Path:
    """Titled rows of pictures, all on one scale from black (0) to white (1). All of these return the file written."""
    columns = max(len(panels) for _, panels in rows)
    figure = _figure(width * columns, (width + 0.45) * len(rows))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (title, panels) in zip(grid, rows, strict=True):
        for axis in axes:
            axis.set_axis_off()
        for axis, (caption, picture) in zip(axes, panels, strict=False):
            shown = picture[0].clamp(0, 1).movedim(0, -1).numpy()
            axis.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set_title(caption, fontsize=8)
        axes[0].text(-0.05, 0.5, title, rotation=90, transform=axes[0].transAxes, ha="right", va="center", fontsize=9)
    return _save(figure, name)


def draw_curves(
    name: str,
    panels: Mapping[str, Mapping[str, Sequence[float] | Mapping[int, float]]],
    marks: Mapping[str, int],
    columns: int = 3,
) -> Path:
    """PSNR against steps, one panel a title, one line a method; ``marks`` are named steps, drawn as vertical lines.

    A line has a value for each step from 0 on, or is a mapping from some steps to theirs.
    """
    lines = -(-len(panels) // columns)
    figure = _figure(2.9 * columns, 2.3 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False)
    methods = list(dict.fromkeys(method for curves in panels.values() for method in curves))
    for axis, (title, curves) in zip(grid.flat, panels.items(), strict=True):
        for method, values in curves.items():
            thick = 2.0 if method == "RIM" else 1.1
            places = dict(values if isinstance(values, Mapping) else enumerate(values))
            color = f"C{methods.index(method)}"
            axis.plot(list(places), list(places.values()), label=method, color=color, linewidth=thick)
        for label, step in marks.items():
            axis.axvline(step, color="grey", linestyle=":", linewidth=0.8, label=label)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    for axis in grid[-1]:
        axis.set_xlabel("step", fontsize=9)
    for axis in grid[:, 0]:
        axis.set_ylabel("PSNR (dB)", fontsize=9)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return _save(figure, name)


def draw_losses(
    name: str,
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    columns: int = 3,
) -> Path:
    """Losses against steps, on a logarithmic scale: one panel a title, one line and its band a method."""
    lines = -(-len(panels) // columns)
    figure = _figure(2.9 * columns, 2.3 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axis in list(grid.flat)[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, curves) in zip(grid.flat, panels.items(), strict=False):
        for i, (method, (values, band)) in enumerate(curves.items()):
            steps, thick = range(1, len(values) + 1), 2.0 if method == "learned" else 1.1
            axis.plot(steps, values, label=method, color=f"C{i}", linewidth=thick)
            low, high = ([v + sign * b for v, b in zip(values, band, strict=True)] for sign in (-1, 1))
            axis.fill_between(steps, [max(v, 1e-12) for v in low], high, color=f"C{i}", alpha=0.15, linewidth=0)
        finite = [v for values, _ in curves.values() for v in values if 0 < v < math.inf]
        axis.set_ylim(min(finite) / 1.5, min(max(finite), 20 * max(values[0] for values, _ in curves.values())))
        axis.set_yscale("log")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    for axis in grid[:, 0]:
        axis.set_ylabel("loss", fontsize=9)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return _save(figure, name)


def draw_errors(rows: Sequence[Mapping[str, Any]], name: str) -> Path:
    """Bit errors against E_b / N_0 with their 95 % intervals: one panel a channel, one line a decoder."""
    channels = list(dict.fromkeys(row["channel"] for row in rows))
    figure = _figure(3.6 * len(channels), 3.1)
    for axis, channel in zip(figure.subplots(1, len(channels), sharey=True, squeeze=False)[0], channels, strict=True):
        for i, decoder in enumerate(dict.fromkeys(row["decoder"] for row in rows)):
            curve = [r for r in rows if (r["channel"], r["decoder"]) == (channel, decoder) and r["bit_error"] > 0]
            low, high = ([abs(r["bit_error"] - r["bit_interval"][side]) for r in curve] for side in (0, 1))
            snrs, errors = [r["snr"] for r in curve], [r["bit_error"] for r in curve]
            axis.errorbar(snrs, errors, [low, high], label=decoder, color=f"C{i}", linewidth=1.2, capsize=2)
        axis.axhline(1e-3, color="grey", linestyle=":", linewidth=0.8)
        axis.set_yscale("log")
        axis.set_title(channel, fontsize=9)
        axis.set_xlabel("E_b / N_0 (dB)", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    figure.axes[0].set_ylabel("bit error", fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return _save(figure, name)


def crop_of(picture: Tensor, top: int, left: int, side: int) -> Tensor:
    return picture[..., top : top + side, left : left + side]


def draw_histograms(name: str, panels: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[float]]]]) -> Path:
    """Shares of values by bin, one panel a title: the edges of its bins, and the values of each label."""
    figure = _figure(2.9 * len(panels), 2.6)
    for axis, (title, (edges, values)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for label, found in values.items():
            weights = [100 / max(1, len(found))] * len(found)
            axis.hist(found, bins=edges, weights=weights, label=label, histtype="step", linewidth=1.4)
        axis.set_xlabel(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    figure.axes[0].set_ylabel("branches (%)", fontsize=9)
    figure.axes[0].legend(fontsize=8)
    return _save(figure, name)


def draw_detection(name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Length of airways detected against false positives: one panel a subject, one point a scan, one line a method.

    The lines join the means of the settings, whose markers differ.
    """
    subjects, methods, settings = (
        list(dict.fromkeys(row[column] for row in rows)) for column in ("subject", "method", "setting")
    )
    figure = _figure(max(8.0, 4.2 * len(subjects)), 4.2)
    grid = figure.subplots(1, len(subjects), squeeze=False, sharey=True)[0]
    for axis, subject in zip(grid, subjects, strict=True):
        for i, method in enumerate(methods):
            means = []
            for setting, marker in zip(settings, "os^v", strict=False):
                chosen = (subject, method, setting)
                of = [r for r in rows if (r["subject"], r["method"], r["setting"]) == chosen]
                x, y = [r["false_positive_rate"] for r in of], [r["length"] for r in of]
                axis.scatter(x, y, color=f"C{i}", marker=marker, s=12, alpha=0.35, linewidths=0)
                means += [(sum(x) / len(x), sum(y) / len(y), marker)] if of else []
            axis.plot([m[0] for m in means], [m[1] for m in means], color=f"C{i}", linewidth=1.2, label=method)
            for x_mean, y_mean, marker in means:
                axis.plot(x_mean, y_mean, color=f"C{i}", marker=marker, markersize=6)
        axis.set_title(subject, fontsize=9)
        axis.set_xlabel("false positives (% of the volume found)", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
    grid[0].set_ylabel("length detected (%)", fontsize=9)
    handles, labels = grid[0].get_legend_handles_labels()
    for setting, marker in zip(settings, "os^v", strict=False):
        handles += grid[0].plot([], [], color="grey", marker=marker, linestyle="", label=setting)
        labels.append(setting)
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return _save(figure, name)


def draw_tree(name: str, lines: Mapping[str, Sequence[tuple[Tensor, Tensor]]]) -> Path:
    """Trees from the front: of each label the pieces (P, 3) of centre lines in mm, (z, y, x), with their radii (P,)."""
    colors = ("0.35", "C3", "C1", "C0")
    figure = _figure(6.0, 5.6)
    axis = figure.subplots()
    for (label, pieces), color in zip(lines.items(), colors, strict=False):
        for points, radius in pieces:
            axis.plot(points[:, 2], points[:, 0], color=color, linewidth=0.6 + 0.5 * float(radius.mean()))
        length = sum(float(points.diff(dim=0).norm(dim=1).sum()) for points, _ in pieces)
        axis.plot([], [], color=color, label=f"{label}, {length / 10:.0f} cm")
    axis.set_aspect("equal")
    axis.set_xlabel("x (mm)", fontsize=9)
    axis.set_ylabel("z (mm), up", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=8, frameon=False, loc="upper left")
    return _save(figure, name)


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, name: str) -> Path:
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.png"
    figure.savefig(path)
    return path

"""Draw a figure of several sections: the start, some steps, the best baseline, the target, and the error."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..arguments.contracts import checked
from ..files import replacing
from ..foundation.extras import require
from .section import Section

ERROR = 0.2  # grey value at which the error panel is white


@checked
def save_strips(path: str | Path, sections: Sequence[Section]) -> Path:
    """Save one row of pictures for each section as a PNG file.

    All pictures share a grey scale from 0 to 1, and all errors one from 0 to ``ERROR``.

    Args:
        path: The file to write.
        sections: The sections, each with at least one baseline.

    Returns:
        ``path``.

    Raises:
        MetaoptError: The file cannot be written, or matplotlib is not installed.
    """
    FigureCanvasAgg = require("matplotlib.backends.backend_agg", "viewer").FigureCanvasAgg
    Figure = require("matplotlib.figure", "viewer").Figure

    rows = [_panels(section) for section in sections]
    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(2.0 * columns, 2.35 * len(rows)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, row, section in zip(grid, rows, sections, strict=True):
        for axis in axes:
            axis.set_axis_off()
        for axis, (name, picture, white) in zip(axes, row, strict=False):
            axis.imshow(_array(picture), cmap="gray", vmin=0, vmax=white, interpolation="nearest")
            axis.set_title(name, fontsize=8)
        axes[0].text(-0.06, 0.5, section.title, rotation=90, transform=axes[0].transAxes, ha="right", va="center")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with replacing(Path(path)) as file:
        file.write(buffer.getvalue())
    return Path(path)


def _panels(section: Section) -> list[tuple[str, Tensor, float]]:
    """Return (caption, picture, white value) from left to right."""
    iterates, best = section.iterates, max(section.baselines, key=lambda baseline: baseline.psnr)
    shown = sorted({0, 1, 2, iterates.trained_steps})
    steps = [
        ("start" if t == 0 else f"{iterates.method}, step {t}", iterates.estimates[t], f"{iterates.psnr[t]:.2f} dB")
        for t in shown
    ]
    final = iterates.estimates[iterates.trained_steps]
    return [
        *((f"{name}\n{score}", picture, 1.0) for name, picture, score in steps),
        (f"{best.name}\n{best.psnr:.2f} dB", best.picture, 1.0),
        ("target\n", section.target, 1.0),
        (f"|error| of {iterates.method}\nwhite = {ERROR}", (final - section.target).abs(), ERROR),
    ]


def _array(picture: Tensor) -> Any:
    return picture.numpy() if picture.ndim == 2 else picture.movedim(0, -1).numpy()

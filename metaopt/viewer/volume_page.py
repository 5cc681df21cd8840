"""Write a self-contained HTML page on which the volumes of several methods are seen slice by slice, step by step."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..files import replacing
from . import curves, document, mosaics, pictures


@dataclass(frozen=True)
class Frames:
    """Hold the volumes of one method at some steps, and its scores at all.

    Args:
        name: Name of the method.
        steps: Number of steps that were taken, step 0 apart.
        mosaics: For each step that is shown a PNG as of :func:`metaopt.viewer.mosaics.encode`.
        scores: For each measure its value at step 0 and after each step. Empty without a target.
    """

    name: str
    steps: int
    mosaics: Mapping[int, bytes]
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Volumes:
    """Hold what a page of volumes shows.

    Args:
        title: The title.
        shape: (D, H, W) as in the file.
        axes: Where the axes grow to, as for :func:`metaopt.viewer.mosaics.turning`, or None where nobody says, which
            leaves them as they are. The pictures are turned already.
        spacing: Distance of neighbouring voxels along (D, H, W) in mm.
        methods: The methods, one or more.
        target: The PNG of the target, or None.
        mask: (H, W), the samples of centred k-space, or None.
        brightness: The factor of the pictures at first: 1, 1.5, 2, 3 or 5.
    """

    title: str
    shape: tuple[int, int, int]
    axes: str | None
    spacing: tuple[float, float, float]
    methods: Sequence[Frames]
    target: bytes | None = None
    mask: np.ndarray | None = None
    brightness: float = 1.0


def write_volumes(path: Path, volumes: Volumes, notes: Sequence[str]) -> int:
    """Write the page.

    Args:
        path: The file, which appears complete or not at all.
        volumes: What it shows.
        notes: Sentences below it, such as what the intensities mean.

    Returns:
        Its size in bytes.

    Raises:
        MetaoptError: The file cannot be written.
    """
    data, charts = _data(volumes), []
    for name in volumes.methods[0].scores:
        drawing = curves.draw(name, {method.name: method.scores[name] for method in volumes.methods})
        short = escape(name.partition(" ")[0])
        charts.append(f'<div class="chart" data-score="{short}">{drawing.svg}<ul class="legend"></ul></div>')
        data["points"][name] = drawing.points
    parts = {
        "title": escape(volumes.title),
        "charts": "".join(charts),
        "mask": _mask(volumes.mask),
        "notes": "".join(f"<li>{escape(note)}</li>" for note in notes),
        "data": document.as_json(data),
    }
    content = document.fill(
        "volume.html", ("page.css", "slices.css", "volume.css"), ("slices.js", "volume.js"), parts
    ).encode()
    with replacing(path) as file:
        file.write(content)
    return len(content)


def _data(volumes: Volumes) -> dict[str, Any]:
    """Return what the script needs; volumes and spacing are in the order of the shown axes."""
    order, reversed_ = mosaics.turning(volumes.axes or mosaics.SHOWN)
    shape = [volumes.shape[i] for i in order]
    return {
        "shape": shape,
        "spacing": [volumes.spacing[i] for i in order],
        "axes": ["DHW"[i] for i in order],
        "reversed": reversed_,
        "told": volumes.axes is not None,
        "brightness": volumes.brightness,
        "single": volumes.shape[0] == 1,
        "columns": mosaics.columns(shape[0]),
        "target": None if volumes.target is None else _text(volumes.target),
        "methods": [
            {
                "name": method.name,
                "last": method.steps,
                "frames": {str(step): _text(content) for step, content in method.mosaics.items()},
                "scores": {name: [_said(name, v) for v in values] for name, values in method.scores.items()},
            }
            for method in volumes.methods
        ],
        "points": {},
    }


def _said(name: str, value: float) -> str:
    if value == float("inf"):
        return "equal to the target"
    return f"{value:.2f} dB" if "dB" in name else f"{value:.4f}"


def _text(content: bytes) -> str:
    return b64encode(content).decode()


def _mask(mask: np.ndarray | None) -> str:
    if mask is None:
        return ""
    samples, points = int(mask.sum()), mask.size
    picture = torch.from_numpy(np.ascontiguousarray(mask, np.float32))
    share = f"{samples:,} of {points:,} samples, acceleration {points / samples:.2f}"
    return (
        f'<figure class="mask"><figcaption>Sampled k-space, frequency 0 in the middle</figcaption>'
        f'<img class="small" width="{mask.shape[1]}" height="{mask.shape[0]}" src="{pictures.data_uri(picture)}" '
        f'alt="Mask of k-space: {share}"><div class="scale">{share}</div></figure>'
    )

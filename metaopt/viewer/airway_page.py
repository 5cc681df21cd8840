"""Write a self-contained HTML page on which a tree of airways is turned beside the slices of its CT."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..arguments.checks import as_numbers, check_finite, check_tensor, said
from ..arguments.contracts import checked
from ..core.errors import MetaoptError
from ..files import check_output, replacing
from ..foundation.extras import require
from . import document, mosaics, scans

# The colours of the generations 0, 1, 2, ...; the last is also that of all after it. They are the 14 colours of Tol's
# discrete rainbow, which people with any colour vision tell apart and in which no two neighbours are alike.
# P. Tol, Colour Schemes, SRON/EPS/TN/09-002 (2021), https://personal.sron.nl/~pault/
PALETTE = (
    "#d1bbd7 #ae76a3 #882e72 #1965b0 #5289c7 #7bafde #4eb265 #90c987 #cae0ab #f7f056 #f6c141 #f1932d #e8601c #dc050c"
).split()
STYLES = ("page.css", "slices.css", "airway.css")
SCRIPTS = ("slices.js", "tubes.js", "airway.js", "airway_moves.js")
APART = 1.2  # mm between the points of a centre line that are drawn


class Branches(Protocol):
    """What a page needs of a tree of airways, such as :class:`metaopt.tasks.airways.AirwayTree` has it."""

    @property
    def parent(self) -> Tensor:
        """The number of each branch's parent, (N,); -1 for the root."""
        ...

    @property
    def points(self) -> Sequence[Tensor]:
        """The centre line of each branch, (P, 3) in mm from the centre of the first voxel, as (z, y, x)."""
        ...

    @property
    def radius(self) -> Sequence[Tensor]:
        """The radius of the lumen at these points, (P,) in mm."""
        ...


@checked
def write_airway_page(
    path: str | os.PathLike[str],
    volume: Tensor,
    spacing: Any,
    tree: Branches,
    mask: Tensor | None = None,
    *,
    axes: str = mosaics.SHOWN,
    title: str = "Airways",
    columns: Mapping[str, Sequence[object]] | None = None,
    notes: Sequence[str] = (),
) -> int:
    """Write one page about a tree of airways and the CT that it was found in.

    The tree is drawn as tubes of the measured width in the colours of their generations, beside three planes of the CT
    with the outline of the mask. The page needs nothing else. The CT in it is cut to the body, has at most some 32
    million voxels, and keeps its Hounsfield units in 8 bits.

    Args:
        path: The ``.html`` file, which appears complete or not at all.
        volume: The CT, (D, H, W) in Hounsfield units.
        spacing: The distance of voxels along (D, H, W), in mm.
        tree: The tree, whose points are in mm from the centre of the first voxel, in the order of the axes.
        mask: The lumen, (D, H, W) bool, whose outline is drawn. None: no outline.
        axes: Where D, H and W grow to: three of S (superior), I, A (anterior), P, L (the person's left) and R.
        title: The title.
        columns: Further columns of the table: for each heading a value a branch.
        notes: Sentences below all, such as how the mask was made.

    Returns:
        The size of the page in bytes.

    Raises:
        MetaoptError: Volume, spacing, mask, tree or columns do not fit each other, the file cannot be written, or an
            extra is not installed.
    """
    page = Path(path)
    if page.suffix.lower() not in (".html", ".htm"):
        raise MetaoptError(f"{page} is no name of a page; let it end in .html.")
    sizes = _check(volume, spacing, mask)
    mosaics.turning(axes)
    _check_tree(tree, [(n - 1) * s for n, s in zip(volume.shape, sizes, strict=True)])
    _check_columns(columns or {}, len(tree.points))
    check_output(page)  # not after minutes
    require("PIL.Image", "viewer")
    grid = scans.fit(volume, sizes, _held(tree, mask, volume.shape, sizes), scans.MOST_VOXELS)
    data, depth = _data(volume, grid, tree, mask, axes), _generations(tree)
    parts = {
        "title": escape(title),
        "summary": _summary(tree, depth),
        "table": _table(tree, depth, columns or {}),
        "notes": "".join(f"<li>{escape(note)}</li>" for note in (*notes, *_notes(grid, mask))),
        "data": document.as_json(data),
    }
    content = document.fill("airway.html", STYLES, SCRIPTS, parts).encode("utf-8", "backslashreplace")
    with replacing(page) as file:
        file.write(content)
    return len(content)


def _check(volume: Tensor, spacing: Any, mask: Tensor | None) -> tuple[float, ...]:
    check_tensor("The CT of a page", volume, "any", "(D, H, W)")
    if volume.is_complex() or volume.dtype == torch.bool or 0 in volume.shape:
        raise MetaoptError(f"The CT of a page is {tuple(volume.shape)} of {volume.dtype}; it has Hounsfield units.")
    check_finite("The CT of a page", volume)
    if mask is not None:
        check_tensor("The mask of a page", mask, "boolean", "(D, H, W)")
        if mask.shape != volume.shape:
            raise MetaoptError(
                f"The mask of a page is {tuple(mask.shape)}, but the CT {tuple(volume.shape)}; both need one grid."
            )
    sizes = as_numbers("The spacing of a page", spacing, torch.float64, torch.device("cpu"))
    if sizes.shape != (3,) or not bool((sizes.isfinite() & (sizes > 0)).all()):
        raise MetaoptError(
            "The spacing of a page must be three positive numbers, the distances of voxels along (D, H, W) in mm, but "
            f"got {sizes.tolist()}."
        )
    return tuple(sizes.tolist())


def _check_tree(tree: Any, extent: Sequence[float]) -> None:
    parent, points, radius = (getattr(tree, name, None) for name in ("parent", "points", "radius"))
    if not isinstance(points, list | tuple) or not isinstance(radius, list | tuple):
        raise MetaoptError(
            f"The tree of a page must have parent, points and radius, as an AirwayTree has, but got {said(tree)}."
        )
    parents = check_tensor("The parents of a tree", parent, "whole", "(N,)")
    if not points or not len(parents) == len(points) == len(radius):
        raise MetaoptError(
            f"A tree needs a parent, a centre line and radii for each branch, and at least one branch, but this one "
            f"has {len(parents)} parents, {len(points)} centre lines and {len(radius)} lists of radii."
        )
    for number, (line, widths, before) in enumerate(zip(points, radius, parents.tolist(), strict=True)):
        check_finite(f"Centre line {number}", check_tensor(f"Centre line {number}", line, "real", "(P, 3)"))
        check_finite(f"Radius {number}", check_tensor(f"Radius {number}", widths, "real", "(P,)"))
        if len(line) != len(widths) or len(line) < 2 or before >= number:
            raise MetaoptError(
                f"Branch {number} has {len(line)} points, {len(widths)} radii and the parent {before}; it needs a "
                "radius for each of at least 2 points, and to come after its parent."
            )
    places = torch.cat([line.detach().cpu().double() for line in points])
    inside = ((places >= -1) & (places <= torch.tensor(extent) + 1)).all(1)
    if float(inside.double().mean()) < 0.5:
        raise MetaoptError(
            f"Of the {len(places)} points of the tree, {int((~inside).sum())} lie outside of the CT, which reaches "
            f"from 0 to {[round(e, 1) for e in extent]} mm along (D, H, W); points are in mm from the centre of "
            "the first voxel, in the order of these axes."
        )


def _check_columns(columns: Mapping[str, Sequence[object]], count: int) -> None:
    for name, values in columns.items():
        if len(values) != count:
            raise MetaoptError(
                f"The column {name!r} has {len(values)} values, but the tree {count} branches; give one for each."
            )


def _generations(tree: Branches) -> list[int]:
    found: list[int] = []
    for parent in tree.parent.tolist():
        found.append(0 if parent < 0 else found[parent] + 1)
    return found


def _held(tree: Branches, mask: Tensor | None, shape: Sequence[int], spacing: Sequence[float]) -> Tensor:
    """Return voxels that must be shown: those of the centre lines and the corners of the mask."""
    voxels = torch.cat([p.detach().cpu().double() for p in tree.points]) / torch.tensor(spacing)
    voxels = voxels.clamp(min=torch.zeros(3), max=torch.tensor(shape) - 1)
    if mask is None or not bool(mask.any()):
        return voxels
    used = [mask.any(dim=b).any(dim=c).nonzero().flatten() for b, c in ((2, 1), (2, 0), (1, 0))]
    corners = [[float(u[0]) for u in used], [float(u[-1]) for u in used]]
    return torch.cat([voxels, torch.tensor(corners, dtype=torch.float64)])


def _data(volume: Tensor, grid: scans.Grid, tree: Branches, mask: Tensor | None, axes: str) -> dict[str, Any]:
    """Return what the scripts need, in the order of the shown axes: upwards, to the back, to the person's left."""
    order, reversed_ = mosaics.turning(axes)
    depth = _generations(tree)
    levels = mosaics.turned(scans.levels_of(grid.resampled(volume)), axes)
    labels = None if mask is None else _labels(grid, tree, depth, mask)
    return {
        "shape": levels.shape,
        "spacing": [grid.spacing[i] * grid.steps[i] for i in order],
        "axes": ["zyx"[i] for i in order],
        "reversed": reversed_,
        "whole": [grid.whole[i] for i in order],
        "begin": [grid.begin[i] for i in order],
        "steps": [grid.steps[i] for i in order],
        "slices": scans.slices_of(levels.shape),
        "volume": scans.encode(levels),
        "labels": None if labels is None else scans.encode(mosaics.turned(labels, axes), lossless=True),
        "units": scans.UNITS,
        "levels": scans.LEVELS,
        "palette": PALETTE,
        "branches": _branches(grid, tree, depth, order, reversed_),
    }


def _labels(grid: scans.Grid, tree: Branches, depth: Sequence[int], mask: Tensor) -> np.ndarray:
    """Return for each shown voxel of the mask the generation of the nearest branch, from 1; 0 elsewhere."""
    inside = (grid.resampled(mask) >= scans.HALF_FILLED).numpy()
    labels, voxels = np.zeros(inside.shape, np.uint8), np.argwhere(inside)
    if len(voxels):
        lines = np.concatenate([p.detach().cpu().double().numpy() for p in tree.points])
        numbers = np.repeat(depth, [len(p) for p in tree.points])
        places = (np.array(grid.begin) + voxels * grid.steps) * grid.spacing
        nearest = require("scipy.spatial", "airway").cKDTree(lines).query(places)[1]
        labels[inside] = np.minimum(numbers[nearest], len(PALETTE) - 1) + 1
    return labels


def _branches(
    grid: scans.Grid, tree: Branches, depth: Sequence[int], order: Sequence[int], reversed_: Sequence[bool]
) -> list[dict[str, Any]]:
    """Return each branch with its points in tenths of a mm from the first shown voxel and radii in hundredths."""
    begin, spacing = np.array(grid.begin), np.array(grid.spacing)
    span = (np.array(grid.shown) - 1) * grid.steps * spacing
    found = []
    for parent, generation, line, radius in zip(tree.parent.tolist(), depth, tree.points, tree.radius, strict=True):
        points = line.detach().cpu().double().numpy() - begin * spacing
        kept = _thinned(points, radius.detach().cpu().double().numpy())
        points = np.stack(
            [span[i] - points[kept, i] if back else points[kept, i] for i, back in zip(order, reversed_, strict=True)],
            axis=1,
        )
        found.append(
            {
                "parent": parent,
                "generation": generation,
                "points": np.rint(10 * points).astype(int).ravel().tolist(),
                "radius": np.rint(100 * radius.detach().cpu().double().numpy()[kept]).astype(int).tolist(),
            }
        )
    return found


def _thinned(points: np.ndarray, radius: np.ndarray) -> list[int]:
    """Return the numbers of points that lie some ``APART`` from each other, the first and the last among them."""
    least = max(APART, float(np.median(radius)) / 3)
    kept, last = [0], len(points) - 1
    for number in range(1, last):
        if np.linalg.norm(points[number] - points[kept[-1]]) >= least:
            kept.append(number)
    return [*kept, last]


def _lengths(tree: Branches) -> list[float]:
    return [float(p.double().diff(dim=0).norm(dim=1).sum()) for p in tree.points]


def _summary(tree: Branches, depth: Sequence[int]) -> str:
    count, deepest, length = len(depth), max(depth), sum(_lengths(tree)) / 10
    return (
        f"{count} branch{'es' * (count > 1)}, generation{'s' * (deepest > 0)} 0{f' to {deepest}' * (deepest > 0)} "
        f"(0 is the trachea), {length:.0f} cm of airways"
    )


def _table(tree: Branches, depth: Sequence[int], columns: Mapping[str, Sequence[object]]) -> str:
    """Return the head and the rows of the table."""
    heads = ("Branch", "Parent", "Generation", "Length (mm)", "Diameter (mm)", *columns)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    rows = []
    lengths, parents = _lengths(tree), tree.parent.tolist()
    for number, (parent, generation, length) in enumerate(zip(parents, depth, lengths, strict=True)):
        diameter = 2 * float(tree.radius[number].detach().double().median())
        cells = [str(parent) if parent >= 0 else "", str(generation), f"{length:.1f}", f"{diameter:.1f}"]
        cells += [_said(values[number]) for values in columns.values()]
        own = f'<th scope="row"><button type="button" data-branch="{number}"><i></i>{number}</button></th>'
        rows.append(f"<tr>{own}{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"


def _said(value: object) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _notes(grid: scans.Grid, mask: Tensor | None) -> list[str]:
    whole, sizes = " x ".join(map(str, grid.whole)), " x ".join(f"{s:.3g}" for s in grid.spacing)
    notes = [f"The CT has {whole} voxels (z x y x x) of {sizes} mm."]
    if grid.shown != grid.whole:
        voxel = " x ".join(f"{s * step:.2g}" for s, step in zip(grid.spacing, grid.steps, strict=True))
        notes.append(
            f"To keep the page small, the slices show what holds the body and the airways, in voxels of {voxel} mm; "
            "the tree and the table are those of the whole CT."
        )
    notes.append(
        "The person's left is on the right, as radiologists look. Slices keep their Hounsfield units with 8 bits, to 4 "
        "HU in soft tissue and 6 HU in the lung."
    )
    if mask is not None:
        notes.append("The outline is that of the mask, in the colour of the generation of the nearest branch.")
    return notes

"""Segment the airways of a CT in a file or folder, and write what was found."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core import MetaoptError
from ...data.formats.ct import Ct, read_ct
from ...tasks.airways import AirwayTree
from .outputs import Outputs
from .segment import check_method, segment_airways
from .table import tabulate


class Segmented(NamedTuple):
    """Hold what was found in a CT: the ``tree``, the ``mask`` (D, H, W), the ``ct``, and ``notes``, a line each."""

    tree: AirwayTree
    mask: Tensor
    ct: Ct
    notes: tuple[str, ...]


@checked
def segment_file(
    ct: str | os.PathLike[str],
    outputs: Outputs,
    method: str = "gnn",
    series: str | int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Segmented:
    """Segment the airways of a CT, and write the mask, the tree, the table and the page that are asked for.

    The mask has the order of axes and the place of the CT's file. Where anything fails, nothing is written.

    Args:
        ct: The CT: NIfTI, NRRD or a folder of DICOM slices.
        outputs: The files to write.
        method: The method, as :func:`segment_airways` takes it.
        series: Which series of a folder that holds several.
        progress: A function that is told in a few words what is done next.

    Returns:
        What was found.

    Raises:
        MetaoptError: The CT cannot be read or is none of a chest, there is no such method, or a file cannot be written.
    """
    path = Path(ct)
    outputs.check(path)
    check_method(method)
    say = progress or _silent
    say("reading the CT")
    found = segment_ct(read_ct(path, series), path, method, say)
    say("writing")
    outputs.write(found.mask, found.tree, found.ct.grid, functools.partial(_write_page, found, path.name))
    return found


def segment_ct(ct: Ct, path: Path, method: str, progress: Callable[[str], None]) -> Segmented:
    """Segment the airways of a CT that was read, and write nothing.

    Args:
        ct: The CT.
        path: Where it is from, for errors.
        method: The method.
        progress: A function that is told in a few words what is done next.

    Returns:
        What was found.

    Raises:
        MetaoptError: As of :func:`segment_file`.
    """
    with named(path), torch.no_grad():
        airways = segment_airways(ct.volume, ct.spacing, method, progress=progress)
    return Segmented(airways.tree, airways.mask, ct, (*ct.report, *airways.notes))


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the name of a file before the sentences of this library on what it holds.

    Args:
        path: The file.

    Returns:
        A context manager.

    Raises:
        MetaoptError: One was raised within.
    """
    try:
        yield
    except MetaoptError as error:
        raise error if str(error).startswith("This needs ") else MetaoptError(f"{path}: {error}") from error


def _silent(words: str) -> None:
    pass


def _write_page(found: Segmented, name: str, path: Path) -> None:
    from ...viewer.airway_page import write_airway_page

    rows = tabulate(found.tree, found.ct.grid)
    columns = {
        "Side": [row.side for row in rows],
        "Area (mm²)": [row.area_mm2 for row in rows],
        "Taper (mm/mm)": [row.taper_mm_per_mm for row in rows],
        "Angle (°)": [row.angle_deg for row in rows],
    }
    write_airway_page(
        path,
        found.ct.volume,
        found.ct.spacing,
        found.tree,
        found.mask,
        title=f"Airways of {name}",
        columns=columns,
        notes=[f"{note.removesuffix('.')}." for note in found.notes],
    )

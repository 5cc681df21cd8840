"""Measure the airways of a mask that exists already."""

from __future__ import annotations

import os
from pathlib import Path

from ...arguments.contracts import checked
from ...core.errors import MetaoptError, warn
from ...data.formats.ct_mask import read_mask
from ...tasks.airways import AirwayTree, measure_airways
from .larynx import below_larynx
from .outputs import Outputs


@checked
def measure_file(
    mask: str | os.PathLike[str],
    table: str | os.PathLike[str] | None = None,
    tree: str | os.PathLike[str] | None = None,
) -> AirwayTree:
    """Measure the branches of an airway mask in a file, and write their table and their tree.

    Side branches of the trachea above the carina, as of a larynx, are left out with a warning (``below_larynx``).

    Args:
        mask: The mask, NIfTI or NRRD.
        table: The .csv file to write, or None.
        tree: The .swc file to write, or None.

    Returns:
        The tree.

    Raises:
        MetaoptError: The mask cannot be read, or has no centre line; a file cannot be written.
    """
    outputs = Outputs(tree=None if tree is None else Path(tree), table=None if table is None else Path(table))
    path = Path(mask)
    outputs.check(path)
    found = read_mask(path)
    try:
        below = below_larynx(measure_airways(found.mask, found.grid.spacing))
    except MetaoptError as error:
        raise MetaoptError(f"{path} cannot be measured: {error}") from error
    if below.note:
        warn(below.note)
    outputs.write(None, below.tree, found.grid)
    return below.tree

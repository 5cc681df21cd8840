"""Compare the airways that are found in a CT, or those of a mask, with a reference mask."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

from ...arguments.contracts import checked
from ...core import MetaoptError
from ...data.formats.ct import read_ct
from ...data.formats.ct_mask import check_same_grid, is_mask, read_mask
from .measures import AirwayScores, evaluate_airways
from .segment import check_method
from .segment_file import named, segment_ct


@checked
def evaluate_file(
    ct: str | os.PathLike[str],
    truth: str | os.PathLike[str],
    method: str = "gnn",
    series: str | int | None = None,
    progress: Callable[[str], None] | None = None,
) -> AirwayScores:
    """Segment the airways of a CT and compare them with a reference mask of the same grid; nothing is written.

    Args:
        ct: The CT: NIfTI, NRRD or a folder of DICOM slices; or a mask that was found in it already.
        truth: The reference mask, NIfTI or NRRD.
        method: The method, as :func:`segment_airways` takes it; of a mask, it is not used.
        series: Which series of a folder that holds several.
        progress: A function that is told in a few words what is done next.

    Returns:
        The scores.

    Raises:
        MetaoptError: A file cannot be read, the two do not lie on each other, they are the same file, or the CT is none
            of a chest.
    """
    path, reference = Path(ct), Path(truth)
    if path == reference or (path.exists() and reference.exists() and path.samefile(reference)):
        raise MetaoptError(f"{path} would be compared with itself; give the CT, or a mask that was found, before it.")
    check_method(method)
    say = progress or (lambda words: None)
    say("reading")
    expected, given = read_mask(reference), read_ct(path, series)
    shape = given.volume.shape
    check_same_grid((str(path), shape, given.grid), (str(reference), expected.mask.shape, expected.grid))
    if is_mask(given.volume):
        mask, tree = given.volume != 0, None
    else:
        found = segment_ct(given, path, method, say)
        mask, tree = found.mask, found.tree
    say("comparing")
    with named(path):
        return evaluate_airways(mask, expected.mask, expected.grid.spacing, tree=tree)


def describe_scores(scores: AirwayScores) -> str:
    """Return a text of a few lines on the measures of a segmentation.

    Args:
        scores: The measures.
    """
    apart = f"{scores.d_fp:.2f} mm from the reference, and the reference's {scores.d_fn:.2f} mm from them"
    return "\n".join(
        (
            f"EXACT'09: {scores.length:.1f} % of the length and {scores.branches:.1f} % of the branches detected, "
            f"{scores.false_positive_rate:.1f} % false positives, {scores.leakage_count} leaks of "
            f"{scores.leakage_volume:.0f} mm3.",
            f"ATM'22 (largest part): {scores.atm_length:.1f} % of the length and {scores.atm_branches:.1f} % of the "
            f"branches detected, Dice {scores.dice:.1f} %, precision {scores.precision:.1f} %.",
            f"Centre lines: {'none was found' if math.isnan(scores.d_fp) else apart}; Dice of edges "
            f"{scores.edge_dice:.1f} %.",
        )
    )

"""Read the lungs and the airways of real people from masks, for simulated CTs of them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ...arguments.contracts import SomeCounts, checked
from ...core.errors import MetaoptError
from ...data import data_path
from ...data.formats.nifti_volume import read_nifti
from .measure import measure_airways
from .tree import AirwayTree

COARSE = 2.0  # mm, about which the lungs of a person are kept


@checked
def read_people(
    folder: str | Path, people: SomeCounts = (1, 2, 3)
) -> list[tuple[Tensor, tuple[float, ...], AirwayTree]]:
    """Read the lung masks and the airways of people of Med-MPD, as :class:`AirwayCts` takes them.

    Args:
        folder: The folder ``ct/airway_masks``, in the folder of data that METAOPT_DATA names.
        people: The numbers of the people.

    Returns:
        For each person the lungs, (D, H, W) bool at about 2 mm, their spacing (z, y, x) in mm, and the tree.

    Raises:
        MetaoptError: A file is missing, damaged or no mask of airways or lungs.
    """
    found = []
    for person in people:
        lungs, airways, spacing = masks_of(folder, person)
        steps = [max(1, round(COARSE / size)) for size in spacing]
        thin = lungs[:: steps[0], :: steps[1], :: steps[2]].contiguous()
        sizes = tuple(n * size for n, size in zip(steps, spacing, strict=True))
        found.append((thin, sizes, measure_airways(airways, spacing)))
    return found


def masks_of(folder: str | Path, person: int) -> tuple[Tensor, Tensor, tuple[float, float, float]]:
    """Return the lungs and the airways of a person of Med-MPD, (D, H, W) bool, and their spacing, z towards the head.

    Args:
        folder: As for :func:`read_people`.
        person: The number of the person.

    Raises:
        MetaoptError: A file is missing or damaged, or the two are not on one grid.
    """
    place = data_path(Path(folder) / f"patient{person}")
    lungs, spacing = upright_mask(place / "pleuralBoundary.nii.gz")
    airways, beside = upright_mask(place / "bronchialTree.nii.gz")
    if lungs.shape != airways.shape or spacing != beside:
        raise MetaoptError(f"The masks of lungs and airways in {place} are not on one grid.")
    return lungs, airways, spacing


def upright_mask(path: Path) -> tuple[Tensor, tuple[float, float, float]]:
    """Return the mask in a NIfTI file and its spacing, both (z, y, x), z towards the head."""
    volume = read_nifti(path)
    x, y, z = volume.voxel
    mask = volume.pictures > 0
    if volume.affine is not None and float(volume.affine[2, 2]) < 0:
        mask = mask.flip(0)
    return mask, (z, y, x)

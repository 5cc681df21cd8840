"""Small volumes of known magnitudes, and k-space of them as files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from metaopt.applications.mri import simulate_file
from metaopt.data import write_nifti

AFFINE = torch.tensor([[0.0, 0, 3, -10], [-1.5, 0, 0, 20], [0, -1.5, 0, 30], [0, 0, 0, 1]]).double()


def head(depth: int = 3, side: int = 96) -> Tensor:
    """Ellipses within an ellipse, (depth, side, side), up to 1; every slice is another."""
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    slices = []
    for i in range(depth):
        picture = 0.4 * ((rows / 0.8) ** 2 + (columns / (0.6 + 0.05 * i)) ** 2 < 1).float()
        picture += 0.6 * (((rows + 0.2) / 0.2) ** 2 + ((columns - 0.1 * i) / 0.3) ** 2 < 1).float()
        picture += 0.3 * (((rows - 0.4) / 0.1) ** 2 + (columns / 0.2) ** 2 < 1).float()
        slices.append(picture)
    return torch.stack(slices)


def simulated(folder: Path, coils: int, depth: int = 3, noise: float = 0.01, mask: str = "gaussian") -> Path:
    """The file of the k-space of a head, undersampled three times."""
    write_nifti(folder / "head.nii", 100 * head(depth), affine=AFFINE)
    path = folder / f"{coils}.h5"
    simulate_file(folder / "head.nii", path, 3, coils, noise, mask)
    return path

"""Read Omniglot, 20 drawings each of 1,623 characters of 50 alphabets (Lake et al., doi:10.1126/science.aab3050)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core import MetaoptError
from ..location import data_path

PARTS = ("background", "evaluation")


def read_omniglot(folder: str | Path, part: str, size: int = 28, first: int = 0, last: int | None = None) -> Tensor:
    """Read Omniglot characters, shrunk by averaging.

    Args:
        folder: The folder of ``images_background.npz`` and ``images_evaluation.npz``, found by :func:`data_path`. Their
            array ``images`` is bool, with False for ink.
        part: ``"background"`` (964 characters, to train on) or ``"evaluation"`` (659 characters of other alphabets).
        size: Side of the images in pixels.
        first: The first character to return.
        last: The character to stop before. None: all to the end.

    Returns:
        (characters, 20, 1, size, size) float32, 0 for paper and up to 1 for ink.

    Raises:
        MetaoptError: The file is missing or another one, or the part is unknown.
    """
    if part not in PARTS:
        raise MetaoptError(f"Omniglot has the parts {' and '.join(PARTS)}, not {part!r}.")
    path = data_path(Path(folder) / f"images_{part}.npz")
    try:
        images = np.load(path)["images"]
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise MetaoptError(f"{path} does not hold Omniglot's drawings: {error}.") from error
    if images.ndim != 4 or images.dtype != np.bool_:
        raise MetaoptError(f"{path} holds images {images.shape} {images.dtype}, not (characters, 20, 105, 105) bool.")
    return torch.stack([_shrunk(torch.from_numpy(~drawings), size) for drawings in images[first:last]])


def _shrunk(ink: Tensor, size: int) -> Tensor:
    return F.interpolate(ink[:, None].float(), size=(size, size), mode="area")

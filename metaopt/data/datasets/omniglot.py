"""Read Omniglot, 20 drawings each of 1,623 characters of 50 alphabets (Lake et al., doi:10.1126/science.aab3050)."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...arguments.contracts import Count, Natural, checked
from ...core import MetaoptError
from ..location import data_path

PARTS = ("background", "evaluation")
LARGEST = 2**28  # bytes of a part unpacked; the larger has 964 x 20 x 105 x 105, one byte each


@checked
def read_omniglot(
    folder: str | Path, part: str, size: Count = 28, first: Natural = 0, last: int | None = None
) -> Tensor:
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
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 105:
        raise MetaoptError(f"The size of Omniglot's images is a whole number from 1 to 105, not {size!r:.80}.")
    path = data_path(Path(folder) / f"images_{part}.npz")
    try:
        images = _images(path)
    except MetaoptError:
        raise
    except Exception as error:  # a broken archive can raise almost anything
        raise MetaoptError(f"{path} does not hold Omniglot's drawings: {error}.") from error
    if images.ndim != 4 or images.dtype != np.bool_ or not images.size:
        raise MetaoptError(f"{path} holds images {images.shape} {images.dtype}, not (characters, 20, 105, 105) bool.")
    return torch.stack([_shrunk(torch.from_numpy(~drawings), size) for drawings in images[first:last]])


def _images(path: Path) -> np.ndarray:
    """Return the array ``images`` of the archive if it takes no more memory than Omniglot's."""
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("images.npy").file_size
        if size > LARGEST:
            raise MetaoptError(f"{path} unpacks to {size:,} bytes, but Omniglot's drawings are at most {LARGEST:,}.")
        with archive.open("images.npy") as file:
            data = file.read(LARGEST + 1)
    version = np.lib.format.read_magic(stream := io.BytesIO(data))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"an array {shape} {dtype} does not fit into {len(data)} bytes")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _shrunk(ink: Tensor, size: int) -> Tensor:
    return F.interpolate(ink[:, None].float(), size=(size, size), mode="area")

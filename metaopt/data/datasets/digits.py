"""Read handwritten digits: the small ones that come with scikit-learn, and MNIST from its own files."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import Natural, checked
from ...core import MetaoptError
from ...files import read_bytes
from ...foundation.extras import require
from ..location import data_path

LARGEST = 2**26  # bytes of a file unpacked; the largest has 60,000 x 28 x 28
IMAGES, LABELS = 0x00000803, 0x00000801  # the first four bytes: unsigned bytes of 3 axes, and of 1


@checked
def read_digits(first: Natural = 0, last: int | None = None) -> tuple[Tensor, Tensor]:
    """Read the 8 x 8 digits of scikit-learn (Alpaydin and Kaynak, UCI), 1,797 in all.

    Args:
        first: The first digit to return.
        last: The digit to stop before. None: all to the end.

    Returns:
        Images (n, 1, 8, 8) float32 in [0, 1], and labels (n,) int64.

    Raises:
        MetaoptError: scikit-learn is not installed.
    """
    images, labels = require("sklearn.datasets", "data").load_digits(return_X_y=True)
    pixels = torch.from_numpy(images[first:last] / 16).float()
    return pixels.reshape(-1, 1, 8, 8), torch.from_numpy(labels[first:last]).long()


@checked
def read_mnist(folder: str | Path, part: str = "t10k") -> tuple[Tensor, Tensor]:
    """Read the MNIST digits (LeCun et al.).

    Args:
        folder: The folder of ``PART-images-idx3-ubyte.gz`` and ``PART-labels-idx1-ubyte.gz``, found by
            :func:`data_path`.
        part: ``"t10k"`` or ``"train"``.

    Returns:
        Images (n, 1, 28, 28) float32 in [0, 1], and labels (n,) int64.

    Raises:
        MetaoptError: A file is missing, cut off, or not the file of MNIST with that name.
    """
    if part not in ("t10k", "train"):
        raise MetaoptError(f"MNIST has the parts t10k and train, not {part!r:.80}.")
    images = _read(data_path(Path(folder) / f"{part}-images-idx3-ubyte.gz"), IMAGES)
    labels = _read(data_path(Path(folder) / f"{part}-labels-idx1-ubyte.gz"), LABELS)
    if len(images) != len(labels):
        raise MetaoptError(f"{folder} holds {len(images)} images of {part}, but {len(labels)} labels.")
    return images[:, None].float() / 255, labels.long()


def _read(path: Path, kind: int) -> Tensor:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read_bytes(path, LARGEST))) as file:
            data = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MetaoptError(f"{path} is no whole gzip file: {error}.") from error
    if len(data) > LARGEST:
        raise MetaoptError(f"{path} unpacks to more than {LARGEST:,} bytes, which no file of MNIST does.")
    axes = kind & 0xFF
    header = np.frombuffer(data[: 4 * (axes + 1)], dtype=">u4") if len(data) >= 4 * (axes + 1) else np.zeros(1)
    shape = tuple(int(n) for n in header[1:])
    if header[0] != kind or len(data) - 4 * (axes + 1) != math.prod(shape):
        raise MetaoptError(f"{path} does not hold what MNIST's file of that name does.")
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8, offset=4 * (axes + 1)).copy()).reshape(shape)

"""Take NumPy arrays of every kind of number as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import MetaoptError


def from_array(name: str, array: Any) -> Tensor:
    """Copy a NumPy array, or what NumPy makes one of, to a tensor that shares no memory with it.

    Numbers in another byte order, as in FITS files, and of more than 64 bits, which torch lacks, are converted.

    Args:
        name: The subject of the error, such as ``"The matrix of as_operator"``.
        array: The array: in memory or mapped from a file, writable or not.

    Raises:
        MetaoptError: It does not hold numbers, or masks some of them.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise MetaoptError(
            f"{name} is a masked array, and a tensor has no mask; fill it, array.filled(0), and give the mask apart."
        )
    values = np.array(array)
    if values.dtype.kind not in "bfciu":
        raise MetaoptError(f"{name} must hold numbers, but is an array {values.shape} of {values.dtype}.")
    wide = {"f": np.float64, "c": np.complex128}.get(values.dtype.kind)
    if wide is not None and values.dtype.itemsize > np.dtype(wide).itemsize:
        values = values.astype(wide)
    return torch.from_numpy(values.astype(values.dtype.newbyteorder("="), copy=False))

"""Check the shapes and dtypes that operators are made for."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch

from ..arguments.checks import said
from ..core.errors import MetaoptError


def check_counts(name: str, values: Any, low: int = 1, length: int | None = None) -> tuple[int, ...]:
    """Return ``values`` as a tuple if they are a list of whole numbers of at least ``low``.

    Args:
        name: The subject of the error, such as ``"The shape of Dense"``.
        values: What was passed.
        low: The smallest number allowed.
        length: How many there must be; by default any number.

    Raises:
        MetaoptError: It is no such list.
    """
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    fits = listed and all(isinstance(v, Integral) and not isinstance(v, bool) and int(v) >= low for v in values)
    if not fits or (length is not None and len(values) != length):
        many = "whole numbers" if length is None else f"{length} whole numbers"
        raise MetaoptError(f"{name} must be a list of {many} of at least {low}, but got {said(values)}.")
    return tuple(int(v) for v in values)


def check_floating(who: str, dtype: Any) -> torch.dtype:
    """Return ``dtype`` if tensors of it hold real numbers with fractions, in at least 16 bits.

    Args:
        who: What makes a tensor of this dtype.
        dtype: What was passed.

    Raises:
        MetaoptError: It is no such dtype.
    """
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point or dtype.itemsize < 2:
        raise MetaoptError(f"The dtype of {who} must be a floating one such as torch.float32, but got {dtype!r:.60}.")
    return dtype

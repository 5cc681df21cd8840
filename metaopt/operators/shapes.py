"""Check the shapes that operators are made for."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

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

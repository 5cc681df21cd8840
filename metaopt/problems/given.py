"""Take what users give a factor graph, as tensors, arrays or lists, or say what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_tensor
from ..core import MetaoptError, tree


def whole_numbers(values: Any, what: str) -> Tensor:
    """Return whole numbers as an int64 tensor.

    Args:
        values: A tensor, an array, a list or a number.
        what: What the numbers are, for error messages.

    Raises:
        MetaoptError: They are no whole numbers.
    """
    found = check_tensor(what, _tensor(values, what, "whole numbers"), "any")
    if found.dtype == torch.long:
        return found
    if found.dtype == torch.bool or found.is_complex() or (found.numel() and bool((found != found.round()).any())):
        raise MetaoptError(f"{what} are whole numbers, int64, but got {_said(values, found)}.")
    return found.long()


def log_potentials(values: Any, what: str) -> Tensor:
    """Return log potentials as a tensor: of its own precision if it is one of real numbers, otherwise of float64.

    Args:
        values: A tensor, an array or a list.
        what: What they are, for error messages.

    Raises:
        MetaoptError: They are no real numbers.
    """
    found = check_tensor(what, _tensor(values, what, "real numbers"), "any")
    if found.is_complex() or found.dtype == torch.bool or found.layout != torch.strided or found.is_meta:
        raise MetaoptError(f"{what} are real numbers in a dense tensor, but got {_said(values, found)}.")
    return found if found.is_floating_point() else found.double()


def factor_list(factors: Any) -> list[tuple[tuple[int, ...], Tensor]]:
    """Return pairs of a scope and a log table, all tables of one precision: the highest that came.

    Args:
        factors: The pairs.

    Raises:
        MetaoptError: An entry is no such pair.
    """
    found: list[tuple[tuple[int, ...], Tensor]] = []
    if not isinstance(factors, Sequence):
        raise MetaoptError(f"Factors are a list of pairs (variables, log table), but got a {type(factors).__name__}.")
    for number, pair in enumerate(factors):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise MetaoptError(
                f"Factor {number} has to be a pair of its variables and its log table, but it is {_said(pair)}."
            )
        scope = whole_numbers(pair[0], f"The variables of factor {number}")
        if scope.ndim != 1:
            raise MetaoptError(
                f"The variables of factor {number} are a list, such as [0, 1], but got {_said(pair[0])}."
            )
        found.append((tuple(scope.tolist()), log_potentials(pair[1], f"The log potentials of factor {number}")))
    dtype = torch.float64 if not found else found[0][1].dtype
    for _, table in found:
        dtype = torch.promote_types(dtype, table.dtype)
    return [(scope, table.to(dtype)) for scope, table in found]


def _tensor(values: Any, what: str, kind: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    try:
        if isinstance(values, list | tuple | range):
            parts = [v.tolist() if isinstance(v, Tensor) else v for v in values]
            found = torch.tensor(parts, dtype=None if parts else torch.long)
            return found.double() if found.is_floating_point() else found
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise MetaoptError(f"{what} are {kind}, but got {_said(values)}.") from error


def _said(values: Any, found: Tensor | None = None) -> str:
    if isinstance(values, Tensor):
        return tree.describe(values)
    if found is not None and found.numel() <= 8:
        return str(found.tolist())
    return f"a {type(values).__name__}" if not isinstance(values, int | float | str) else repr(values)

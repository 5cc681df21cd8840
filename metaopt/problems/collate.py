"""Join problems to one batch, as ``torch.utils.data.DataLoader`` needs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import said
from ..core import MetaoptError, tree
from ..operators import Operator
from .first_order import FirstOrder
from .inverse import InverseProblem


def collate(items: Sequence[Any]) -> Any:
    """Join items that are batches themselves, as for ``DataLoader(data, batch_size=8, collate_fn=collate)``.

    Tensors are joined along their first axis, which is the batch everywhere in this library. Tuples, lists and mappings
    are joined entry by entry. An :class:`InverseProblem` keeps the noise of each sample. Equal operators stay one.
    Operators that differ in tensors with one entry per sample, such as masks (B, 1, H, W), are joined along that axis,
    and the result is checked on A^H y.

    Args:
        items: Items of the same structure, such as (problem, target), each a batch of one or more samples.

    Returns:
        An item of the same structure.

    Raises:
        MetaoptError: Shapes or precisions differ, operators differ so that no single operator can replace them, or
            there is no rule to join what the items hold.
    """
    if not isinstance(items, list | tuple) or not items:
        raise MetaoptError(f"A batch is joined of a list of items that is not empty, not of {said(items)}.")
    first = items[0]
    kinds = sorted({type(item).__name__ for item in items})
    if len(kinds) > 1:
        raise MetaoptError(f"A batch is joined of items of one kind, not of {' and '.join(kinds)}.")
    if isinstance(first, Tensor):
        return _joined(items)
    if isinstance(first, Mapping):
        return {key: collate([item[key] for item in items]) for key in first}
    if isinstance(first, tuple | list):
        parts = [collate(column) for column in zip(*items, strict=True)]
        return getattr(first, "_make", type(first))(parts)
    if isinstance(first, InverseProblem):
        return _joined_problems(items)
    if isinstance(first, FirstOrder):
        return FirstOrder(collate([item.problem for item in items]))
    if not dataclasses.is_dataclass(first) and all(item == first for item in items):
        return first
    raise MetaoptError(
        f"There is no rule to join several {kinds[0]} to one batch; join what they are made of, or draw them as one "
        "(for factor graphs FactorGraph.union)."
    )


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    found = list(dict.fromkeys((tuple(t.shape[1:]), t.dtype) for t in tensors))
    if len(found) > 1 or not tensors[0].ndim:
        shapes = " and ".join(dict.fromkeys(tree.describe(t) for t in tensors))
        raise MetaoptError(f"Tensors {shapes} cannot be joined along their first axis; they must agree in all others.")
    return torch.cat(list(tensors))


def _joined_problems(problems: Sequence[InverseProblem]) -> InverseProblem:
    first = problems[0]
    if any(p.likelihood != first.likelihood for p in problems):
        raise MetaoptError("Problems of different likelihoods cannot be joined to one batch.")
    for name in ("noise", "guess"):
        if len({getattr(p, name) is None for p in problems}) > 1:
            raise MetaoptError(f"Some of the problems know their {name} and some do not; give it to all, or to none.")
    y = _joined([p.y for p in problems])
    noise = None if first.noise is None else _joined_noise(problems)
    guess = None if first.guess is None else _joined([p.guess for p in problems])
    joined = InverseProblem(_joined_operators(problems), y, noise, first.likelihood, guess)
    return joined.by_normal() if all(p.moment is not None for p in problems) else joined


def _joined_noise(problems: Sequence[InverseProblem]) -> Tensor:
    """(B,), or with y's axes where the noise of a problem has them."""
    if all(p.noise.ndim < 2 for p in problems):
        return torch.cat([p.noise.expand(len(p.y)) for p in problems])
    maps = [p.noise.reshape(p.noise.numel(), *[1] * (p.y.ndim - 1)) if p.noise.ndim < 2 else p.noise for p in problems]
    axes = torch.broadcast_shapes(*(m.shape[1:] for m in maps))
    return torch.cat([m.expand(len(p.y), *axes) for m, p in zip(maps, problems, strict=True)])


def _joined_operators(problems: Sequence[InverseProblem]) -> Operator:
    operators, sizes = [p.operator for p in problems], [len(p.y) for p in problems]
    if (columns := _columns(operators)) is not None:
        one_for_all = not any(
            t.ndim and 1 < len(t) == n for column in columns for t, n in zip(column, sizes, strict=True)
        )
        if one_for_all and all(_equal(column) for column in columns):
            return operators[0]
        rebuild = tree.partition(operators[0])[1]
        for shared in (True, False):  # tensors that are equal may be one for all, or one a sample
            joined = rebuild([_joined_entries(column, sizes, shared) for column in columns])
            if _agrees(joined, problems):
                return joined
    raise MetaoptError(
        f"The operators of the problems differ ({', '.join(dict.fromkeys(type(o).__name__ for o in operators))}), and "
        "not by one entry a sample, so they cannot be joined to one batch; give each its tensors with a first axis of "
        "one entry a sample, such as masks (B, 1, H, W), or collect problems of one operator."
    )


def _columns(operators: Sequence[Operator]) -> list[tuple[Tensor, ...]] | None:
    """The tensors of the operators place by place; ``None`` where they differ in anything but tensors of one size."""
    rows = [tree.partition(operator)[0] for operator in operators]
    if len({(len(row), _without_tensors(o)) for row, o in zip(rows, operators, strict=True)}) > 1:
        return None
    return list(zip(*rows, strict=True))


def _without_tensors(thing: Any) -> str:
    """What an operator is but for the values of its tensors."""
    if isinstance(thing, Tensor):
        return f"tensor {tuple(thing.shape[1:])} {thing.dtype}"
    if dataclasses.is_dataclass(thing):
        fields = (f"{f.name}={_without_tensors(getattr(thing, f.name))}" for f in dataclasses.fields(thing))
        return f"{type(thing).__qualname__}({', '.join(fields)})"
    if isinstance(thing, tuple | list):
        return f"({', '.join(_without_tensors(item) for item in thing)})"
    return repr(thing)


def _equal(column: tuple[Tensor, ...]) -> bool:
    return all(t is column[0] or torch.equal(t, column[0]) for t in column)


def _joined_entries(column: tuple[Tensor, ...], sizes: list[int], shared: bool) -> Tensor:
    """One tensor for all samples: those of the samples one after another, or else the first."""
    entries = column[0].ndim and all(len(t) == size for t, size in zip(column, sizes, strict=True))
    return torch.cat(column) if entries and not (shared and _equal(column)) else column[0]


def _agrees(joined: Operator, problems: Sequence[InverseProblem]) -> bool:
    """Whether the joined operator does to A^H y, and back, what the operators do one by one."""
    alone = [p.operator.adjoint(p.y) for p in problems]
    try:
        together = joined.adjoint(torch.cat([p.y for p in problems]))
        pairs = [(together, torch.cat(alone))]
        pairs.append((joined(together), torch.cat([p.operator(x) for p, x in zip(problems, alone, strict=True)])))
        return all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in pairs)
    except (MetaoptError, RuntimeError):
        return False

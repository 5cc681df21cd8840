"""Measure by how much a state changes from step to step, how much is to come, and what a change makes outdated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from .words import describe

Tensors = Sequence[Tensor]
ROUNDING = 1e-14  # of float64: such a change has no rate; in float32, whose steps are larger, only 0 is as small


def to_come(changes: Tensor, earlier: Tensor, repeated: Tensor, sizes: Tensor) -> Tensor:
    """Return the last changes, or the sum of all that follow at the same rate where that is larger, (tensors, B)."""
    rate = torch.where(earlier > 0, repeated / earlier**2, 1.0)  # below 0 where steps alternate, as rounding errors do
    more = torch.where(rate < 1, rate / (1 - rate), torch.inf).clamp_min(1)
    return torch.where(changes <= ROUNDING * sizes, changes, changes * more)


def measured(after: Tensors, before: Tensors, previous: Tensors, count: int) -> Tensor:
    """Return root mean squares, in each sample, of what tensors changed by and changed to, (3, tensors, B).

    The third is the mean product of the change and the change before. A tensor without the batch's axis counts as one
    whole, for every sample.
    """
    found = []
    for held in zip(after, before, previous, strict=True):
        rows = count if held[0].ndim and len(held[0]) == count else 1
        flat = (torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in held)
        a, b, c = (t.double().reshape(rows, t.numel() // max(1, rows)) for t in flat)
        stays = torch.isinf(a) & (a == b)  # as a logarithm of 0 does
        change, size, last = (t.masked_fill(stays, 0) for t in (a - b, a, b - c))
        width = max(1, a.shape[1])
        norms = [torch.linalg.vector_norm(t, dim=1) / width**0.5 for t in (change, size)]
        found.append(torch.stack([*norms, (change * last).sum(1) / width]).expand(3, count))
    return torch.stack(found or [torch.zeros(3, count)], 1)


class Pauses:
    """Find the samples of a run that stand still for some steps and move in later ones, as while a rate is 0."""

    def __init__(self) -> None:
        self._tried: Tensors | None = None  # the state of the last trial; until it changes none is needed
        self._moving = torch.zeros(0, dtype=torch.bool)

    def among(self, state: Tensors, still: Tensor, following: Iterable[Tensors]) -> Tensor:
        """Return which samples that stood ``still`` would move later, (B,).

        Args:
            state: The tensors of the state.
            still: Which samples the last step did not change, (B,).
            following: The tensors of the states after one of the steps to come each, which are read only where needed.
        """
        if not bool(still.any()):
            return still
        if self._tried is None or not all(map(torch.equal, state, self._tried)):
            self._tried, self._moving = state, torch.zeros_like(still)
            for after in following:
                self._moving = self._moving | _moved(after, state, len(still))
        return self._moving & still


def spread(ks: range) -> list[int]:
    """Return the first number, the last, and the one in the middle."""
    return sorted({ks[0], ks[len(ks) // 2], ks[-1]}) if ks else []


def _moved(after: Tensors, before: Tensors, count: int) -> Tensor:
    """Which samples differ by more than rounding, (B,)."""
    changes, sizes, _ = measured(after, before, before, count)
    steps = [8 * torch.finfo(t.dtype).eps if t.is_floating_point() or t.is_complex() else 0.0 for t in before]
    return (changes > changes.new_tensor(steps)[:, None] * sizes).any(0)


def changed(before: Sequence[tuple[str, Tensor]], after: Sequence[tuple[str, Tensor]], k: int) -> str | None:
    """Return what differs between named tensors in names, shapes or dtypes, as the end of a sentence, or ``None``.

    Args:
        before: Names and tensors before step ``k``.
        after: Those after it.
        k: The number of the step.
    """
    old, new = ({name: describe(tensor) for name, tensor in held} for held in (before, after))
    for name in old:
        if old[name] != new.get(name, old[name]):
            return f"{name} from {old[name]} to {new[name]} at k={k}"
    if list(old) == list(new):
        return None
    was, now = (", ".join(names) or "no tensor" for names in (old, new))
    return f"the structure of its state at k={k}: it held {was}, now {now}"


def relative_change(after: Sequence[Tensor], before: Sequence[Tensor]) -> float:
    """Return ``||after - before|| / ||before||`` over all tensors; where ``before`` is zero, ``||after - before||``."""
    difference = sum(float((a - b).abs().square().sum()) for a, b in zip(after, before, strict=True))
    size = sum(float(b.abs().square().sum()) for b in before)
    return math.sqrt(difference / size if size > 0 else difference)


def same(a: Any, b: Any) -> bool:
    """Tell whether structure, shapes and dtypes agree; it is quick, and says no where it does not know."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and a.dtype == b.dtype
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    alike = isinstance(a, tuple) and type(a) is type(b) and len(a) == len(b)
    return alike and all(same(*pair) for pair in zip(a, b, strict=True))


def outdated(dataclass: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of the fields that are no longer true once others are changed, by their names.

    Such a field has ``metadata={"derived_from": (...)}`` with the names of those others.

    Args:
        dataclass: An instance of a dataclass.
        changes: The new values of others of its fields, by their names.
    """
    return {f.name: f.default for f in fields(dataclass) if changes.keys() & f.metadata.get("derived_from", ())}

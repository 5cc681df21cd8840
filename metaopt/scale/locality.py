"""Try on a small example whether a network looks no further than it says, and name the layer that does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core import MetaoptError, Unrolled, slots, tree
from ..core.random import generator
from ..operators.reach import Window, per_axis, period_of, reach_of
from .layout import Layout, strided

TOLERANCE = 1e-9  # of a change in float64, relative to the largest entry
TRUSTED = {f"torch.nn.modules.{name}" for name in ("conv", "container", "activation")}
Call = tuple[str, list[Tensor], list[Tensor]]  # a layer's name, what it was given, what it gave


def check_local(net: Unrolled, steps: int, state: Layout, x: Layout, levels: tuple[Tensor, ...]) -> None:
    """Raise if a layer makes tiles differ from the whole.

    A step is run in float64 on random numbers, once more with a corner changed, and once more on a part of them. What
    is further from the corner than the reach must not change, and the part must give its part of the result. Networks
    of this library's layers alone are known to be local, and are not tried.

    Args:
        net: The unrolled algorithm.
        steps: How many steps will be run.
        state: The layout of its state.
        x: The layout of x.
        levels: The context of a sample.

    Raises:
        MetaoptError: A layer looks further than the network says, or its stride is no divisor of the period.
    """
    algorithm = net.algorithm
    if all(map(_is_known, algorithm.modules())):
        return
    copied = tree.to(copy.deepcopy(algorithm), dtype=torch.float64)
    dims = len(next(p.factors for p in state.places if p.factors is not None))
    reach, period = per_axis(reach_of(algorithm) or 0, dims, 0), per_axis(period_of(algorithm), dims, 1)
    untied = any(isinstance(slot.content(), list) for slot in slots(algorithm).values())
    whole = tuple(slice(0, 2 * p * -(-(r + p + 8) // p)) for r, p in zip(reach, period, strict=True))
    part = tuple(slice(p, w.stop) for p, w in zip(period, whole, strict=True))
    for k in range(steps if untied else min(1, steps)):
        example = _Example(copied, state, x, tuple(t.double() for t in levels), whole, k)
        plain, calls = example.run(whole, 0.0)
        changed, others = example.run(whole, 1.0)
        if any(_differ(a, b, dims) for a, b in zip(plain, changed, strict=True)):
            raise MetaoptError(_said(algorithm, _culprit(calls, others, dims), reach))
        try:
            small, _ = example.run(part, 0.0)
        except RuntimeError as error:  # sizes that are multiples of the period, and do not fit
            raise MetaoptError(_misaligned(algorithm, period)) from error
        if not _agree(state, plain, small, whole, part, reach):
            raise MetaoptError(_misaligned(algorithm, period))


def _is_known(module: nn.Module) -> bool:
    """Return whether a module is one of this library, or one of torch's that looks at neighbours alone."""
    place, circular = type(module).__module__, getattr(module, "padding_mode", "zeros") == "circular"
    trusted = place in TRUSTED and not isinstance(module, nn.MultiheadAttention)
    return not circular and (trusted or place.startswith("metaopt."))


@dataclass(frozen=True, eq=False)
class _Given:
    """A problem with a given gradient, wherever it is asked for."""

    first: Tensor
    slope: Tensor
    levels: tuple[Tensor, ...]

    def start(self) -> Tensor:
        return self.first

    def gradient(self, x: Tensor) -> Tensor:
        return self.slope

    def context(self) -> tuple[Tensor, ...]:
        return self.levels

    def variance(self) -> Tensor | None:
        return (2 * self.levels[0]).exp() if self.levels else None


class _Example:
    """Runs a step on random numbers."""

    def __init__(self, algorithm: Any, state: Layout, x: Layout, levels: tuple[Tensor, ...], window: Window, k: int):
        self.algorithm, self.state, self.x, self.levels, self.k = algorithm, state, x, levels, k
        draws = generator(0, k)
        self.values = [_random(place, window, draws) for place in state.places]
        self.slope = _random(x.places[0], window, draws)

    def run(self, window: Window, change: float) -> tuple[list[Tensor], list[Call]]:
        """Return the state after a step, and the calls of layers in it, with ``change`` added to the first pixel."""
        pairs = zip(self.values, self.state.places, strict=True)
        values = [_corner(t[p.entries(window)].clone(), change, p.after, p.factors) for t, p in pairs]
        place = self.x.places[0]
        slope = _corner(self.slope[place.entries(window)].clone(), change, place.after, place.factors)
        calls: list[Call] = []
        hooks = [m.register_forward_hook(_recording(n, calls)) for n, m in self.algorithm.named_modules() if n]
        try:
            problem = _Given(slope, slope, self.levels)
            after = self.algorithm.step(problem, tree.fill(self.state.example, values), self.k)
        finally:
            for hook in hooks:
                hook.remove()
        return tree.leaves(after), calls


def _recording(name: str, calls: list[Call]) -> Callable[..., None]:
    def record(module: nn.Module, given: Any, output: Any) -> None:
        before, after = ([t.detach().clone() for t in tree.leaves(value, modules=False)] for value in (given, output))
        calls.append((f"{name} ({type(module).__name__})", before, after))

    return record


def _random(place: Any, window: Window, draws: torch.Generator) -> Tensor:
    dtype = torch.complex128 if place.example.is_complex() else torch.float64
    if place.factors is None:
        return place.example.to(dtype) if place.example.is_floating_point() else place.example
    return torch.rand(place.shape(window), dtype=dtype, generator=draws)


def _corner(values: Tensor, change: float, after: int, factors: Sequence[int] | None) -> Tensor:
    if factors is not None:
        values[(..., *[0] * len(factors), *[slice(None)] * after)] += change
    return values


def _differ(a: Tensor, b: Tensor, dims: int) -> bool:
    """Return whether two tensors differ in the half of each of the last axes that is far from the corner."""
    if a.shape != b.shape:
        return True
    far = (..., *(slice(n // 2, None) for n in a.shape[max(0, a.ndim - dims) :]))
    return bool((a[far] - b[far]).abs().amax() > TOLERANCE * (1 + a.abs().amax())) if a[far].numel() else False


def _culprit(calls: list[Call], others: list[Call], dims: int) -> str | None:
    """Return the first layer that changes far away though what it was given does not."""
    for (name, given, gave), (_, given_then, gave_then) in zip(calls, others, strict=False):
        same = not any(_differ(a, b, dims) for a, b in zip(given, given_then, strict=True))
        if same and any(_differ(a, b, dims) for a, b in zip(gave, gave_then, strict=True)):
            return name
    return None


def _agree(
    layout: Layout, whole: list[Tensor], part: list[Tensor], large: Window, small: Window, reach: Sequence[int]
) -> bool:
    inner = tuple(slice(-(-(s.start + r) // s.start) * s.start, s.stop) for s, r in zip(small, reach, strict=True))
    for place, a, b in zip(layout.places, whole, part, strict=True):
        there, here = a[place.entries(inner)], b[place.entries(inner, [s.start for s in small])]
        if there.shape != here.shape or (there - here).abs().amax() > TOLERANCE * (1 + a.abs().amax()):
            return False
    return True


def _said(algorithm: Any, layer: str | None, reach: Sequence[int]) -> str:
    what = f"Its layer {layer} looks" if layer else "Its step looks"
    return (
        f"{type(algorithm).__name__} cannot be computed in tiles. {what} further than the {max(reach)} pixels that the "
        "network says, as normalisation over space, attention and circular borders do; compute it whole, or give the "
        "network a layer that looks at its neighbourhood."
    )


def _misaligned(algorithm: Any, period: Sequence[int]) -> str:
    return (
        f"{type(algorithm).__name__} cannot be computed in tiles: it says that a shift by {max(period)} pixels shifts "
        f"its result, but {strided(algorithm, period) or 'a trial shows that it does not'}. Its period must be a "
        "multiple of the product of all strides."
    )

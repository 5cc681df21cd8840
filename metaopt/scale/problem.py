"""Ask a problem for its part in a window of x, and say how far one step on it looks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.checks import said
from ..arguments.contracts import Count, checked
from ..core import MetaoptError, Unrolled, slots, tree
from ..operators import Identity, Operator
from ..operators.reach import PerAxis, Window, coarse, common_multiple, crop, per_axis, period_of, reach_of, total
from ..problems import InverseProblem, protocol

IDENTITY = Identity()
TRIED = 128  # periods a side of the windows that are looked at


@checked
@dataclass(frozen=True, eq=False)
class WindowedProblem:
    """A problem of a large x that is never whole in memory: what is known of it is read window by window.

    Args:
        read: A function of a window of x, one slice for each spatial axis, that returns the
            :class:`~metaopt.InverseProblem` of that window, as :func:`piece` does for a problem in memory. Windows
            start at multiples of the period and have any size. For workers in other processes it must be picklable.
        shape: The spatial sizes of x, in pixels.
        operator: An operator like those of the windows, of any size. Only its ``reach`` and ``period`` are used.
    """

    read: Callable[[Window], InverseProblem]
    shape: tuple[Count, ...]
    operator: Operator = IDENTITY


def windowed(problem: InverseProblem) -> WindowedProblem:
    """Return a problem in memory as one that is read window by window.

    Args:
        problem: The problem, of y with one to three spatial axes.

    Returns:
        The same problem.

    Raises:
        MetaoptError: y has no spatial axes.
    """
    if not isinstance(problem, InverseProblem):
        raise MetaoptError(
            f"Only an InverseProblem or a WindowedProblem is cut into tiles, not {said(problem)}; for others use "
            "assemble(compute, shape, ...) with a compute of your own."
        )
    if problem.y.ndim < 3:
        raise MetaoptError(
            f"The measurement is {tuple(problem.y.shape)}, but tiles are of (B, C, n), (B, C, H, W) or (B, C, D, H, W)."
        )
    factors = per_axis(problem.operator.period, problem.y.ndim - 2, 1)
    shape = tuple(n * f for n, f in zip(problem.y.shape[2:], factors, strict=True))
    return WindowedProblem(partial(piece, problem), shape, problem.operator)


def in_trained_units(trained: Any, problem: WindowedProblem) -> tuple[WindowedProblem, Tensor | None]:
    """Return a problem in the units that a network was trained in, and the factor by which it was multiplied.

    The factor is that of the brightest of nine windows, since all of x is never seen at once. Where the windows that
    are read are in trained units already, they stay as they are.

    Args:
        trained: The range of the network, or None.
        problem: The problem.

    Returns:
        The problem, and the factor, (B,) or (1,), or None.
    """
    if trained is None:
        return problem, None
    parts = looked_at(problem)
    if parts[0].scale is not None:
        return problem, None
    brightest = max(parts, key=lambda part: float(part.start().abs().flatten().kthvalue(_most(part)).values))
    factor = trained.fixed(brightest).scale
    read = partial(_read_scaled, trained, problem.read, factor)
    return WindowedProblem(read, problem.shape, problem.operator), factor


def looked_at(problem: Any) -> list[Any]:
    """Return nine windows of a problem, by which it is known from others.

    Args:
        problem: A problem with ``read``, ``shape`` and ``operator``.

    Returns:
        The problems of the windows.
    """
    periods = per_axis(problem.operator.period, len(problem.shape), 1)
    axes = [_thirds(n, p) for n, p in zip(problem.shape, periods, strict=True)]
    return [problem.read(window) for window in itertools.product(*axes)]


def _thirds(length: int, period: int) -> list[slice]:
    """Give windows at the start, in the middle and at the end of an axis."""
    side = min(length, TRIED * period)
    starts = {i * (length - side) // 2 // period * period for i in range(3)}
    return [slice(s, min(length, s + side)) for s in sorted(starts)]


def _most(problem: InverseProblem) -> int:
    return max(1, round(0.999 * problem.start().numel()))


def _read_scaled(trained: Any, read: Callable[[Window], InverseProblem], factor: Tensor, window: Window) -> Any:
    return trained.scaled(read(window), factor)


@checked
def step_halo(net: Unrolled, operator: Operator) -> PerAxis:
    """Return how far one step looks from a pixel of its result: the halo with which tiles give the whole.

    It is the reach of the step plus that of A^H A. Where the operator connects all pixels, its gradient is computed
    whole, and only the step counts.

    Args:
        net: The unrolled algorithm.
        operator: A.

    Returns:
        Pixels, one number or one for each axis.

    Raises:
        MetaoptError: The step has no reach.
    """
    step = reach_of(net.algorithm)
    if step is None:
        held = [f"its {name} has none" for name, slot in slots(net.algorithm).items() if _is_unlimited(slot)]
        raise MetaoptError(
            f"Nothing says how far a step of {type(net.algorithm).__name__} reaches{'; ' * bool(held)}"
            f"{', '.join(held)}, so it cannot be tiled; give it reach and period if its results depend on pixels "
            "nearby alone."
        )
    halo = step if operator.reach is None else total(step, operator.reach)
    assert halo is not None
    return halo


def step_period(net: Unrolled, operator: Operator) -> PerAxis:
    """Return the multiple at which windows start, so that the strides of network and operator are those of the whole.

    Args:
        net: The unrolled algorithm.
        operator: A.

    Returns:
        Pixels, one number or one for each axis.
    """
    return common_multiple(period_of(net.algorithm), 1 if operator.reach is None else operator.period)


@checked
def piece(problem: InverseProblem, window: Window) -> InverseProblem:
    """Return the part of a problem in a window of x: its operator, and what it measures there.

    Args:
        problem: The problem.
        window: One slice for each spatial axis, which starts at a multiple of the operator's period.

    Returns:
        The problem of the window.

    Raises:
        MetaoptError: The operator has no reach.
    """
    small = coarse(window, problem.operator.period)

    def cut(values: Tensor | None, where: Window) -> Tensor | None:
        """Crop ``values`` where they vary over space; what there is one of per sample belongs to every window."""
        return crop(values, where) if values is not None and values.ndim == problem.y.ndim else values

    parts = {"y": cut(problem.y, small), "noise": cut(problem.noise, small), "guess": cut(problem.guess, window)}
    level = cut(problem.level, window)  # that of the whole, from which a window's own level may differ
    return tree.replace(problem, {"operator": problem.operator.crop(window), **parts, "level": level})


@dataclass(frozen=True, eq=False)
class GivenGradient:
    """A window of a problem whose gradient was computed whole, since its operator connects all pixels.

    Args:
        first: The window of the first estimate.
        slope: The window of the gradient at ``point``.
        point: The window of the x at which it was computed.
        levels: The context of the problem there.
        squared: The variance of the problem there.
    """

    first: Tensor
    slope: Tensor
    point: Tensor
    levels: tuple[Tensor, ...]
    squared: Tensor | None

    def start(self) -> Tensor:
        return self.first

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient.

        Raises:
            MetaoptError: It was computed elsewhere, because the step asks for gradients at two points.
        """
        if not torch.equal(x, self.point):
            raise MetaoptError(
                "This operator connects all pixels, so its gradient is computed whole, once a step; but the step asks "
                "for it at a second point. Compute this network whole."
            )
        return self.slope

    def context(self) -> tuple[Tensor, ...]:
        return self.levels

    def variance(self) -> Tensor | None:
        return self.squared


class Asked(Exception):
    """Tells at which x a step asks for the gradient."""

    def __init__(self, x: Tensor):
        super().__init__()
        self.x = x


@dataclass(frozen=True, eq=False)
class Asking:
    """A problem that says where it is asked for its gradient, instead of computing it."""

    problem: Any

    def start(self) -> Tensor:
        return self.problem.start()

    def gradient(self, x: Tensor) -> Tensor:
        raise Asked(x)

    def context(self) -> tuple[Tensor, ...]:
        return protocol.context(self.problem)

    def variance(self) -> Tensor | None:
        return protocol.variance(self.problem)


def point_of(algorithm: Any, problem: Any, state: Any, k: int) -> Tensor:
    """Return the x at which step ``k`` of an algorithm asks for the gradient.

    Args:
        algorithm: The algorithm.
        problem: Its problem, whose gradient is not computed.
        state: The state before the step.
        k: The number of the step.

    Returns:
        The point, such as the estimate itself, or that of momentum.

    Raises:
        MetaoptError: The step does not ask for a gradient.
    """
    try:
        algorithm.step(Asking(problem), state, k)
    except Asked as asked:
        return asked.x
    raise MetaoptError(f"A step of {type(algorithm).__name__} asks for no gradient, so there is nothing to compute.")


def asks(algorithm: Any, problem: Any) -> bool:
    """Return whether an algorithm asks for the gradient already where it starts.

    Args:
        algorithm: The algorithm.
        problem: A small problem.
    """
    try:
        algorithm.init(Asking(problem))
    except Asked:
        return True
    return False


def _is_unlimited(held: Any) -> bool:
    """Return whether a slot holds modules of which one has no reach."""
    content = held.content()
    first = content[0] if isinstance(content, list) else content
    return isinstance(first, nn.Module) and reach_of(held) is None

"""Run a network over the tiles of a problem in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..arguments.contracts import Natural, checked
from ..core import MetaoptError, Unrolled, tree
from ..core.slots import check_steps
from ..operators import Operator
from ..operators.reach import PerAxis, Window, crop
from ..problems import InverseProblem, protocol
from ..problems.noise import per_sample
from .layout import Bands
from .problem import GivenGradient, WindowedProblem, asks, in_trained_units, point_of, windowed
from .sweep import Read, Stage, layouts, prepared, shown, started, stepped, sweep, tiles_of


@checked
def tiled(
    net: Unrolled,
    problem: InverseProblem | WindowedProblem,
    size: PerAxis,
    halo: PerAxis | None = None,
    steps: Natural | None = None,
) -> Tensor:
    """Return ``net(problem, steps=steps).final``, computed tile by tile without gradients.

    Every step of a tile reads the state of its neighbours, so that the halo is that of one step. Memory holds the
    measurement, the result, one tile with its halo, and for each step the state of two halos' rows. Where the operator
    connects all pixels, as ``Fourier``, ``Sense`` and projections do, its gradient is computed whole, the network in
    tiles, and memory holds the state of two steps.

    A halo that is smaller than the exact one is faster, but gives an approximation, whose error nothing bounds in
    general: compare it with a larger halo before you trust it.

    Args:
        net: An unrolled algorithm whose step has a reach: :class:`~metaopt.Descent`, the proximal algorithms,
            :class:`~metaopt.MapEstimation` or :class:`~metaopt.CoupledDescent`, with updates and priors that have one.
        problem: A problem of x (B, C, n), (B, C, H, W) or (B, C, D, H, W), or one that is read window by window.
        size: Pixels a side of a tile without its halo, one number or one for each axis. Tiles need not divide x.
        halo: Pixels around a tile, likewise. None: as many as make the result exact, :func:`step_halo`.
        steps: Number of steps. None: that of the network.

    Returns:
        The estimate, (B, C, ...).

    Raises:
        MetaoptError: The step has no reach, a layer of it looks further than it says, a size is not positive, or the
            unit of the step sizes depends on the noise of the whole.
    """
    steps = net.steps if steps is None else steps
    check_steps(net.algorithm, steps)
    with torch.no_grad():
        if isinstance(problem, InverseProblem) and problem.operator.reach is None:
            trained = net.algorithm.trained_range
            fixed: Any = problem if trained is None else trained.fixed(problem)
            whole, scale = _whole_gradient(net, fixed), fixed.scale if trained is not None else None
            result = _swept(net, WindowedProblem(_unread, whole.shape, problem.operator), size, halo, steps, whole)
        else:
            given, scale = entered(net, problem)
            result = _swept(net, given, size, halo, steps, None)
        return result if scale is None else result / per_sample(scale, result)


def entered(net: Unrolled, problem: Any) -> tuple[Any, Tensor | None]:
    """Return a problem as it is read window by window, in trained units, and the factor by which it was multiplied.

    Args:
        net: The unrolled algorithm.
        problem: A problem in memory, or one that is read window by window.

    Returns:
        The problem, and the factor, (B,) or (1,), or None.

    Raises:
        MetaoptError: Windows of it say nothing of its gradient, or not in which unit steps are.
    """
    trained = net.algorithm.trained_range
    if isinstance(problem, InverseProblem):
        check_reach(problem.operator)
        check_unit(net, problem)
        if trained is None:
            return windowed(problem), None
        fixed: Any = trained.fixed(problem)  # a dark tile is measured by the whole, or seams would be seen
        return windowed(fixed), fixed.scale
    if isinstance(problem, WindowedProblem):
        check_reach(problem.operator)
        return in_trained_units(trained, problem)
    return problem, None


@dataclass(frozen=True, eq=False)
class WholeGradient:
    """Compute the gradient of a problem in memory whole, and give windows of it."""

    algorithm: Any
    problem: InverseProblem
    first: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.first.shape[2:])

    def prepare(self, k: int, level: Bands | None) -> Read:
        """Return how windows are read in the stage that computes step ``k``, from the level before it."""
        point = self.first
        if level is not None:
            state = level.read(tuple(slice(0, n) for n in self.shape))
            point = point_of(self.algorithm, self.problem, state, k)
        asked = level is not None or asks(self.algorithm, self.problem)
        slope = self.problem.gradient(point) if asked else torch.zeros_like(point)
        levels, squared = protocol.context(self.problem), protocol.variance(self.problem)

        def read(window: Window) -> GivenGradient:
            maps = tuple(_over_space(t, window, self.first) for t in levels)
            square = None if squared is None else _over_space(squared, window, self.first)
            first, gradient, where = (t[(..., *window)] for t in (self.first, slope, point))
            return GivenGradient(first, gradient, where, maps, square)

        return read


def _over_space(values: Tensor, window: Window, x: Tensor) -> Tensor:
    return crop(values, window) if values.ndim == x.ndim else values


def _unread(window: Window) -> Any:
    raise MetaoptError("The windows of this problem are those of its gradient.")


def _whole_gradient(net: Unrolled, problem: InverseProblem) -> WholeGradient:
    first = problem.start()
    if first.ndim < 3:
        raise MetaoptError(f"x is {tree.describe(first)}, but tiles are of (B, C, n), (B, C, H, W) or (B, C, D, H, W).")
    return WholeGradient(net.algorithm, problem, first)


def _swept(
    net: Unrolled,
    problem: WindowedProblem,
    size: PerAxis,
    halo: PerAxis | None,
    steps: int,
    whole: WholeGradient | None,
) -> Tensor:
    tiles = tiles_of(net, problem, size, halo)
    prepare = partial(prepared, problem.read) if whole is None else whole.prepare
    read = prepare(0, None)
    state, readout = layouts(net, read, tiles, steps)
    stages = [Stage(started, partial(prepared, read, 0), Bands(state, tiles.shape))]
    for k in range(steps):
        stages.append(Stage(partial(stepped, k), partial(prepare, k), Bands(state, tiles.shape)))
    result = Bands(readout, tiles.shape)
    result.open(tiles.shape[0])
    stages.append(Stage(partial(shown, max(0, steps - 1)), partial(prepared, read, 0), result))
    rows = tiles.sides[0] if whole is None else tiles.shape[0] + len(stages) * tiles.lag  # all, before the next stage
    sweep(net.algorithm, stages, tiles, rows)
    return result.read(tuple(slice(0, n) for n in tiles.shape))


def check_reach(operator: Operator) -> None:
    """Raise if an operator connects all pixels, so that windows of its problem say nothing of its gradient.

    Args:
        operator: The operator.

    Raises:
        MetaoptError: It does.
    """
    if operator.reach is None:
        raise MetaoptError(
            f"{type(operator).__name__} connects pixels however far apart, so its problem cannot be read window by "
            "window; give tiled the InverseProblem itself, or the gradient as a Convolved problem."
        )


def check_unit(net: Unrolled, problem: InverseProblem) -> None:
    """Raise if the unit of the step sizes would be another in every tile.

    Args:
        net: The unrolled algorithm.
        problem: The problem.

    Raises:
        MetaoptError: It would.
    """
    varies = problem.noise is not None and problem.noise.ndim > 1 and problem.operator.reach is not None
    if varies and not problem.operator.is_diagonal and getattr(net.algorithm, "unit", None) is not None:
        raise MetaoptError(
            f"The noise differs within a sample, and the steps of {type(net.algorithm).__name__} are in a unit of it, "
            "which would be another in every tile; give it a step size without unit=..., or one noise level a sample."
        )

"""Cut signals, pictures and volumes into overlapping tiles, and compute these with the result of the whole.

Each tile is computed with a halo around it, which is then discarded. In T steps, an unrolled network sees at most T
times the reach of one step (:mod:`metaopt.operators.reach`). With a halo of that size the result equals that of the
whole up to rounding, also at the borders, since no tile extends beyond them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.checks import said
from ..arguments.contracts import Natural, checked
from ..core import MetaoptError, Unrolled, slots, tree
from ..operators import Operator
from ..operators.reach import (
    PerAxis,
    Window,
    coarse,
    common_multiple,
    crop,
    per_axis,
    period_of,
    reach_of,
    times,
    total,
)
from ..problems import InverseProblem
from ..problems.noise import per_sample


@checked
def tiled(
    net: Unrolled, problem: InverseProblem, size: PerAxis, halo: PerAxis | None = None, steps: Natural | None = None
) -> Tensor:
    """Return ``net(problem, steps=steps).final``, computed tile by tile without gradients.

    Memory holds the measurement, the result and one tile with its halo. A halo that is smaller than the exact one is
    faster, but gives an approximation, whose error nothing bounds in general: compare it with a larger halo before you
    trust it. As an example, the shipped ``denoise_grey`` has an exact halo of 196 pixels; on scikit-image's camera with
    noise of 25 grey levels, halos of 16, 32 and 64 pixels change no pixel by more than 1.8, 0.3 and 0.0004 grey levels.

    Args:
        net: An unrolled algorithm whose step has a reach: :class:`~metaopt.Descent`, the proximal algorithms,
            :class:`~metaopt.MapEstimation` or :class:`~metaopt.CoupledDescent`, with updates and priors that have one.
        problem: A problem of x (B, C, n), (B, C, H, W) or (B, C, D, H, W), whose operator has a reach, such as
            ``Identity``, ``Mask``, ``Blur``, ``Separable`` and their products. ``Fourier``, ``Dense`` and projections
            have none.
        size: Pixels a side of a tile without its halo, one number or one for each axis. Tiles need not divide x.
        halo: Pixels around a tile, likewise. None: as many as make the result exact.
        steps: Number of steps. None: that of the network.

    Returns:
        The estimate, (B, C, ...).

    Raises:
        MetaoptError: The operator has no reach, the step has none and no halo is given, a size is not positive, or the
            unit of the step sizes depends on the noise of the whole.
    """
    _check_problem(net, problem)
    operator, dims = problem.operator, problem.y.ndim - 2
    if halo is None:
        halo = exact_halo(net, operator, steps)
        if problem.guess is not None:  # then the start depends on A^H A guess
            halo = total(halo, operator.reach) or 0
    scale = per_axis(operator.period, dims, 1)
    shape = [n * p for n, p in zip(problem.y.shape[2:], scale, strict=True)]
    period = common_multiple(period_of(net.algorithm), operator.period)
    trained = net.algorithm.trained_range
    if trained is not None:  # a dark tile is measured by the whole, or seams would be seen
        problem = trained.fixed(problem)
    with torch.no_grad():
        whole = assemble(lambda w: net(piece(problem, w), steps=steps).final, shape, size, halo, period)
        return whole if problem.scale is None else whole / per_sample(problem.scale, whole)


@checked
def exact_halo(net: Unrolled, operator: Operator, steps: Natural | None = None) -> PerAxis:
    """Return how far a pixel of the result sees in ``steps`` steps that start from A^H y.

    This is T times the reach of a step plus that of A^H A, plus the reach of A^H.

    Args:
        net: The unrolled algorithm.
        operator: A.
        steps: Number T of steps. None: that of the network.

    Returns:
        Pixels, one number or one for each axis.

    Raises:
        MetaoptError: The step or the operator has no reach.
    """
    algorithm = net.algorithm
    step = reach_of(algorithm)
    if step is None:
        parts = [f"its {name} has none" for name, held in slots(algorithm).items() if _is_unlimited(held)]
        raise MetaoptError(
            f"Nothing says how far a step of {type(algorithm).__name__} reaches{'; ' * bool(parts)}{', '.join(parts)}, "
            "so it cannot be tiled; give it reach and period if its results depend on pixels nearby alone."
        )
    if operator.reach is None:
        raise MetaoptError(
            f"{type(operator).__name__} connects pixels however far apart, so its problem cannot be tiled; compute it "
            "whole."
        )
    back = _halved(operator.reach, operator.period)
    halo = total(times(net.steps if steps is None else steps, total(step, operator.reach)), back)
    assert halo is not None
    return halo


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


@checked
def assemble(
    compute: Callable[[Window], Tensor], shape: Sequence[Natural], size: PerAxis, halo: PerAxis, period: PerAxis = 1
) -> Tensor:
    """Compute a whole (..., ``*shape``) from windows, one at a time.

    The result is that of ``compute`` on the whole if no output depends on an input more than ``halo`` pixels away, and
    shifting the input by ``period`` pixels shifts the output.

    Args:
        compute: Maps a window, one slice for each axis of ``shape``, to its part (..., ``*sizes of the window``).
        shape: Sizes of the last axes, which are cut.
        size: As for :func:`windows`.
        halo: As for :func:`windows`.
        period: As for :func:`windows`.

    Returns:
        The whole.

    Raises:
        MetaoptError: The shape is empty, or as for :func:`windows`.
    """
    result: Tensor | None = None
    for computed, kept in windows(shape, size, halo, period):
        part = compute(computed)
        sizes = tuple(s.stop - s.start for s in computed)
        if not isinstance(part, Tensor) or tuple(part.shape[max(0, part.ndim - len(sizes)) :]) != sizes:
            raise MetaoptError(
                f"compute must give (..., {', '.join(map(str, sizes))}) for {computed}, not {said(part)}."
            )
        if result is None:
            result = part.new_empty(*part.shape[: part.ndim - len(shape)], *shape)
        inside = (slice(k.start - c.start, k.stop - c.start) for c, k in zip(computed, kept, strict=True))
        result[(..., *kept)] = part[(..., *inside)]
    if result is None:
        raise MetaoptError(f"There is nothing to compute of a shape {tuple(shape)}.")
    return result


@checked
def windows(
    shape: Sequence[Natural], size: PerAxis, halo: PerAxis = 0, period: PerAxis = 1
) -> Iterator[tuple[Window, Window]]:
    """Divide axes into tiles, and give for each tile the window to compute and the tile itself, the last axis fastest.

    Args:
        shape: Sizes of the axes to cut.
        size: Pixels a side of a tile, rounded up to a multiple of ``period``. The last tiles are smaller.
        halo: Pixels around a tile that are computed as well, where they exist.
        period: A window starts at a multiple of it, and ends at one or at the end of the axis.

    Returns:
        An iterator over (window, tile).

    Raises:
        MetaoptError: A size or a period is below 1, or a halo below 0.
    """
    axes = list(zip(shape, *(per_axis(v, len(shape), f) for v, f in ((size, 1), (halo, 0), (period, 1))), strict=True))
    if any(s < 1 or h < 0 or p < 1 for _, s, h, p in axes):
        raise MetaoptError(
            f"Tiles need a size and a period of at least 1 and a halo of at least 0, but got {size}, {period} and "
            f"{halo}."
        )
    for pairs in itertools.product(*(list(_along(*axis)) for axis in axes)):
        yield tuple(computed for computed, _ in pairs), tuple(kept for _, kept in pairs)


def _along(length: int, size: int, halo: int, period: int) -> Iterator[tuple[slice, slice]]:
    size = -(-size // period) * period
    for start in range(0, length, size):
        stop = min(length, start + size)
        begin = max(0, start - halo) // period * period
        end = min(length, -(-(stop + halo) // period) * period)
        yield slice(begin, end), slice(start, stop)


def _halved(reach: PerAxis, period: PerAxis) -> PerAxis:
    """Return how far A^H reaches beyond the pixels of an entry of y; A^H A reaches twice as far and across them."""
    if isinstance(reach, int) and isinstance(period, int):
        return max(0, reach - period + 2) // 2
    dims = max(1 if isinstance(value, int) else len(value) for value in (reach, period))
    pairs = zip(per_axis(reach, dims, 0), per_axis(period, dims, 1), strict=True)
    return tuple(max(0, r - p + 2) // 2 for r, p in pairs)


def _is_unlimited(held: Any) -> bool:
    """Return whether a slot holds modules of which one has no reach."""
    content = held.content()
    first = content[0] if isinstance(content, list) else content
    return isinstance(first, nn.Module) and reach_of(held) is None


def _check_problem(net: Unrolled, problem: InverseProblem) -> None:
    if not isinstance(problem, InverseProblem):
        raise MetaoptError(
            f"Only an InverseProblem is cut into tiles, not {type(problem).__name__}; for others use "
            "assemble(compute, shape, ...) with a compute of your own."
        )
    if problem.y.ndim < 3:
        raise MetaoptError(
            f"The measurement is {tuple(problem.y.shape)}, but tiles are of (B, C, n), (B, C, H, W) or (B, C, D, H, W)."
        )
    varies = problem.noise is not None and problem.noise.ndim > 1
    if varies and not problem.operator.is_diagonal and getattr(net.algorithm, "unit", None) is not None:
        raise MetaoptError(
            f"The noise differs within a sample, and the steps of {type(net.algorithm).__name__} are in a unit of it, "
            "which would be another in every tile; give it a step size without unit=..., or one noise level a sample."
        )

"""Tiles that overlap: signals, pictures and volumes piece by piece, with the result of computing them whole.

A tile is computed with a halo around it, of which only the tile is kept. T steps of an unrolled network carry what lies
at most T times the reach of a step away (:mod:`metaopt.operators.reach`): with a halo of that size the result is that
of the whole, to rounding, and at the borders as well, as no tile extends beyond them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

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


def tiled(
    net: Unrolled, problem: InverseProblem, size: PerAxis, halo: PerAxis | None = None, steps: int | None = None
) -> Tensor:
    """``net(problem, steps=steps).final``, computed tile by tile, without gradients.

    Memory holds the measurement, the result and one tile with its halo. A smaller halo than the exact one is faster and
    an approximation, whose error is what the network makes of what lies further away: of scikit-image's camera with
    noise of 25 grey levels, the shipped ``denoise_grey``, whose exact halo is 196 pixels, changes no pixel by more than
    1.8, 0.3 and 0.0004 grey levels with halos of 16, 32 and 64. Nothing bounds it for other networks: compare with a
    larger halo before you trust it.

    Args:
        net: an unrolled algorithm whose step has a reach: :class:`~metaopt.Descent`, proximal algorithms,
            :class:`~metaopt.MapEstimation`, :class:`~metaopt.CoupledDescent`, with updates and priors that have one.
        problem: of x (B, C, n), (B, C, H, W) or (B, C, D, H, W), whose operator has a reach, such as ``Identity``,
            ``Mask``, ``Blur``, ``Separable`` and their products. ``Fourier``, ``Dense`` and projections have none.
        size: pixels a side of a tile, without its halo, for all axes or one number an axis; any x is served.
        halo: pixels around it, likewise; ``None``: as many as make the result exact.
        steps: as many as the network has if left out.

    Returns: the estimate, (B, C, ...).

    Raises: MetaoptError where the operator has no reach, or the step if no halo is given; where a size is not positive;
    where the unit of step sizes depends on the noise of the whole.
    """
    _check_problem(net, problem)
    operator, dims = problem.operator, problem.y.ndim - 2
    if halo is None:
        halo = exact_halo(net, operator, steps)
        if problem.guess is not None:  # the first estimate is then A^H A guess away from it
            halo = total(halo, operator.reach) or 0
    scale = per_axis(operator.period, dims, 1)
    shape = [n * p for n, p in zip(problem.y.shape[2:], scale, strict=True)]
    period = common_multiple(period_of(net.algorithm), operator.period)
    with torch.no_grad():
        return assemble(lambda w: net(piece(problem, w), steps=steps).final, shape, size, halo, period)


def exact_halo(net: Unrolled, operator: Operator, steps: int | None = None) -> PerAxis:
    """How far a pixel looks in ``steps`` steps from A^H y, at most: T (reach of a step + that of A^H A) + that of A^H.

    Raises: MetaoptError where the step or the operator has no reach.
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


def piece(problem: InverseProblem, window: Window) -> InverseProblem:
    """The problem of a window of x: its operator, and what it measures there.

    Args:
        window: one slice for each spatial axis, from multiples of the operator's period.

    Raises: MetaoptError where the operator has no reach.
    """
    small = coarse(window, problem.operator.period)

    def cut(values: Tensor | None, where: Window) -> Tensor | None:
        """What there is one of for each sample belongs to every window."""
        return crop(values, where) if values is not None and values.ndim == problem.y.ndim else values

    parts = {"y": cut(problem.y, small), "noise": cut(problem.noise, small), "guess": cut(problem.guess, window)}
    level = cut(problem.level, window)  # of the whole: the window's own would differ where the noise does
    return tree.replace(problem, {"operator": problem.operator.crop(window), **parts, "level": level})


def assemble(
    compute: Callable[[Window], Tensor], shape: Sequence[int], size: PerAxis, halo: PerAxis, period: PerAxis = 1
) -> Tensor:
    """The whole (..., *shape) of which ``compute(window)`` gives windows; there is one at a time.

    It is what ``compute`` gives for the whole where no output depends on an input more than ``halo`` pixels away, and
    shifting the input by ``period`` pixels shifts the output.

    Args:
        compute: from a window, one slice for each axis of ``shape``, to (..., *sizes of the window).
        shape: of the axes to be cut, which are the last ones.
        size, halo, period: as for :func:`windows`.
    """
    result: Tensor | None = None
    for computed, kept in windows(shape, size, halo, period):
        part = compute(computed)
        if result is None:
            result = part.new_empty(*part.shape[: part.ndim - len(shape)], *shape)
        inside = (slice(k.start - c.start, k.stop - c.start) for c, k in zip(computed, kept, strict=True))
        result[(..., *kept)] = part[(..., *inside)]
    if result is None:
        raise MetaoptError(f"There is nothing to compute of a shape {tuple(shape)}.")
    return result


def windows(
    shape: Sequence[int], size: PerAxis, halo: PerAxis = 0, period: PerAxis = 1
) -> Iterator[tuple[Window, Window]]:
    """(what to compute, the tile of it that is kept), tile after tile, the last axis fastest; together they are all.

    Args:
        shape: of the axes to be cut.
        size: pixels a side of a tile, rounded up to a multiple of ``period``; the last ones are smaller.
        halo: pixels around it that are computed as well, as far as there are any.
        period: what is computed begins at multiples of it, and ends at one or at the end of the axis.

    Raises: MetaoptError for a size or a period below 1, or a halo below 0.
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
    """How far A^H reaches beyond the pixels that belong to one of y: A^H A reaches twice as far, and across them."""
    if isinstance(reach, int) and isinstance(period, int):
        return max(0, reach - period + 2) // 2
    dims = max(1 if isinstance(value, int) else len(value) for value in (reach, period))
    pairs = zip(per_axis(reach, dims, 0), per_axis(period, dims, 1), strict=True)
    return tuple(max(0, r - p + 2) // 2 for r, p in pairs)


def _is_unlimited(held: Any) -> bool:
    """Whether a slot holds modules of which one has no reach."""
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

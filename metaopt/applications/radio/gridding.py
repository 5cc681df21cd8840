"""Grid visibilities chunk by chunk, so that a problem is all that is in memory of a set of any size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...core import tree
from ...core.errors import MetaoptError, MetaoptWarning
from ...data import VisibilityChunk, VisibilitySet
from ...operators import Identity, Operator, Visibilities, WideVisibilities, briggs_weights, uniform_weights, uv_density
from ...operators.operator import at_least_single
from ...operators.uv import inverse_n
from ...operators.visibilities import convolve
from ...problems import InverseProblem

TOGETHER = 2**21  # visibilities that are gridded together
Weigh = Callable[[VisibilityChunk], Tensor]


@dataclass(frozen=True, eq=False)
class PointSpread(Operator):
    """Apply A^H A of visibilities that were gridded, and are not in memory: A itself is not known.

    Args:
        spectrum: The transform of the point spread function, (1, 2 H, 2 W).
        gain: The factor of each pixel, (H, W).
        cell: The size of a pixel in radians.
        planes: 1.
    """

    spectrum: Tensor
    gain: Tensor
    cell: float
    planes: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.gain.shape)

    def apply(self, x: Tensor) -> Tensor:
        raise self._unknown()

    def adjoint(self, y: Tensor) -> Tensor:
        raise self._unknown()

    def normal(self, x: Tensor) -> Tensor:
        wide = at_least_single(x)
        gain = self.gain.to(wide)
        return gain * convolve(self.spectrum, gain * wide)

    def _unknown(self) -> MetaoptError:
        return MetaoptError(
            "These visibilities were gridded chunk by chunk and are not in memory: only the start and the gradient of "
            "the problem are known; read the set whole and build Visibilities where others are needed."
        )


class Gridded(NamedTuple):
    """Hold the problem of a set, and what the picture and its noise are measured by.

    ``problem`` has noise 1 and pictures (1, 1, H, W); ``weight`` is the sum of the weights W, by which A^H W y becomes
    the dirty picture; ``level`` is the noise of a pixel of A^H W y; ``power`` is the sum of w |y|^2 and ``used`` the
    number of visibilities.
    """

    problem: InverseProblem
    weight: float
    level: float
    power: float
    used: int

    def misfit(self, x: Tensor) -> float:
        """Return the root mean square of what a picture leaves of the data, over the noise: 1 is ideal.

        Args:
            x: The picture in Jy/pixel, (1, 1, H, W). Weights must be natural.
        """
        wide, moment = x.double(), self.problem.start().double()
        left = self.power - float((wide * (2 * moment - self.problem.operator.normal(wide))).sum())
        return (max(left, 0.0) / (2 * max(self.used, 1))) ** 0.5


def weighting(
    name: str, robust: float, found: VisibilitySet, shape: tuple[int, int], cell: float
) -> Callable[[VisibilityChunk], Tensor]:
    """Return the function that weighs a chunk; the set is read once where all of it counts.

    Args:
        name: "natural", "uniform" or "briggs".
        robust: Of "briggs".
        found: The set.
        shape: (H, W).
        cell: The size of a pixel in radians.
    """
    if name == "natural":
        return lambda chunk: chunk.weights
    total: Any = 0
    for chunk in _used(found):
        total = total + uv_density(chunk.uvw, found.frequency, chunk.weights, shape, cell)

    def weigh(chunk: VisibilityChunk) -> Tensor:
        given = (chunk.uvw, found.frequency, chunk.weights, shape, cell)
        return uniform_weights(*given, total) if name == "uniform" else briggs_weights(*given, robust, total)

    return weigh


def grid(found: VisibilitySet, shape: tuple[int, int], cell: float, weigh: Weigh, wide: bool = False) -> Gridded:
    """Grid a set for a picture of all its channels.

    Args:
        found: The set.
        shape: (H, W).
        cell: The size of a pixel in radians.
        weigh: Gives the weights of a chunk.
        wide: Whether the w term counts. All visibilities are then in memory, since there is no point spread function.

    Returns:
        The problem; where nothing is used its ``used`` is 0.

    Raises:
        MetaoptError: The set cannot be read.
    """
    spectrum = torch.zeros(1, 2 * shape[0], 2 * shape[1], dtype=torch.float64)
    moment = torch.zeros(1, 1, *shape, dtype=torch.float64)
    weight = noise = power = 0.0
    count, kept = 0, []
    for chunk in _used(found):
        weights = weigh(chunk).double()
        if not bool((weights > 0).any()):
            continue
        own = chunk.weights.double()
        weight, count = weight + float(weights.sum()), count + int((own > 0).sum())
        noise += float((weights.square() / torch.where(own > 0, own, 1)).sum())
        power += float((own * chunk.visibilities.abs().double().square()).sum())
        if wide:
            kept.append((chunk.uvw, chunk.visibilities, weights.float()))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MetaoptWarning)  # what the neglected w costs was weighed before
            part = Visibilities(chunk.uvw, found.frequency, shape, cell, weights)
        moment += part.adjoint(part.whiten(chunk.visibilities[None].to(torch.complex128)))
        assert part.spectrum is not None  # as it is while a program is traced
        spectrum += part.spectrum
    if kept:
        uvw, seen, weights = (torch.cat(parts) for parts in zip(*kept, strict=True))
        whole = WideVisibilities(uvw, found.frequency, shape, cell, weights)
        problem = InverseProblem(whole, whole.whiten(seen[None]), 1.0).by_normal()
    else:
        # The constructor checks a measurement, which is not in memory here.
        problem = InverseProblem(Identity(), torch.zeros(1, 1, dtype=torch.float64), 1.0)
        problem = tree.replace(
            problem, {"operator": PointSpread(spectrum, inverse_n(shape, cell), cell), "moment": moment}
        )
    return Gridded(problem, weight, noise**0.5, power, count)


def _used(found: VisibilitySet) -> Iterator[VisibilityChunk]:
    """Yield the chunks without rows that are flagged; none, where all of the set is."""
    for start in range(0, found.rows, step := max(1, TOGETHER // found.channels)):
        chunk = found.part(start, min(start + step, found.rows))
        rows = (chunk.weights > 0).any(1)
        if bool(rows.any()):
            yield chunk if bool(rows.all()) else VisibilityChunk(*(t[rows] for t in chunk))

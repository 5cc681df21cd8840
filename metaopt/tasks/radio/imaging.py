"""Draw problems of radio imaging: skies from the visibilities of random arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ...arguments.contracts import Counts, Positives, Share, checked
from ...core import MetaoptError, random
from ...operators import GriddedVisibilities
from ...problems import InverseProblem
from ..patches import integer, uniform
from .arrays import read_array
from .coverage import synthesize
from .skies import Skies, logarithmic

ROWS = 60_000  # visibilities of a sky at most
RANDOM = "random"


@checked
@dataclass(frozen=True, eq=False)
class RadioImaging:
    """Reconstruct skies from visibilities: each sky has an array, times, weights and noise of its own.

    Stations are those of one of ``arrays``, all of them or a random part. They follow a source at a random declination
    and hour angle, for a snapshot or for hours. The longest baseline and the size of a pixel fit each other
    (``oversampling``); where (u, v) is, is rounded to the grid of
    :class:`~metaopt.operators.GriddedVisibilities`, whose cells are a half of those that the picture resolves. Weights
    differ by station, and some rows are flagged. The noise is thermal: white, of the variance that the weights say.

    Args:
        skies: The skies, in Jy/pixel.
        arrays: Names for :func:`read_array`, or ``"random"``: stations around a centre, dense or wide.
        folder: The folder of the tables of stations.
        stations: (fewest, most) that are used.
        hours: (low, high) of the length of an observation that is no snapshot, uniform on a logarithmic scale.
        snapshots: The share of snapshots.
        oversampling: (low, high) of the largest size of a pixel that is right over the size it has.
        signals: (low, high) of the peak of the dirty picture over its noise, with natural weights; uniform on a
            logarithmic scale.

    Raises:
        MetaoptError: There is no array, or one is unknown, or its table missing.
    """

    skies: Skies
    arrays: Sequence[str] = ("vla-a", "vla-b", "meerkat", "ska1-mid", "lofar", "atca", RANDOM)
    folder: str | Path = "radio/antennas"
    stations: Counts = (5, 64)
    hours: Positives = (0.3, 10.0)
    snapshots: Share = 0.3
    oversampling: Positives = (1.1, 2.5)
    signals: Positives = (30.0, 1e5)
    positions: dict[str, Tensor] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.arrays:
            raise MetaoptError("RadioImaging needs at least one array, by name, such as 'meerkat' or 'random'.")
        for name in self.arrays:
            if name != RANDOM:
                self.positions[name] = read_array(name, self.folder).positions

    def sample(self, seed: int) -> tuple[InverseProblem, Tensor]:
        generator = random.generator(seed)
        target = self.skies.draw(generator)
        grids = torch.stack([self._coverage(generator) for _ in range(len(target))])[:, None]
        grids = grids / grids.sum((2, 3), keepdim=True)
        seen = GriddedVisibilities(grids)
        peaks = seen.adjoint(seen(target)).amax((1, 2, 3))
        signals = [logarithmic(*self.signals, generator) for _ in target]
        levels = (peaks / torch.tensor(signals)).reshape(-1, 1, 1, 1)
        operator = GriddedVisibilities(grids / levels.square())
        y = operator(target)
        noise = torch.randn(*y.shape, 2, generator=generator)
        problem = InverseProblem(operator, y + (grids > 0) * torch.view_as_complex(noise), 1.0)
        return problem.by_normal(), target

    def _coverage(self, generator: torch.Generator) -> Tensor:
        """Draw the weights of a grid, (2 size, 2 size), whose scale means nothing."""
        stations = self._stations(generator)
        latitude = math.asin(float(torch.nn.functional.normalize(stations.mean(0), dim=0)[2]))
        declination = latitude + math.radians(float(uniform(-60, 60, 1, generator)))
        declination = max(-1.5, min(1.5, declination))
        hours = 0.0 if torch.rand((), generator=generator) < self.snapshots else logarithmic(*self.hours, generator)
        pairs = len(stations) * (len(stations) - 1) // 2
        times = 1 + integer(max(1, min(int(40 * hours), ROWS // pairs)), generator) if hours else 1
        turn = float(uniform(-math.pi / 4, math.pi / 4, 1, generator))
        rows = synthesize(stations, declination, 3600 * hours, 3600 * hours / times if hours else 60, turn, -1.5)
        gains = torch.exp(float(uniform(0, 0.5, 1, generator)) * torch.randn(len(stations), generator=generator))
        weights = gains[rows.antenna1] * gains[rows.antenna2]
        flagged = 0.3 * float(torch.rand((), generator=generator)) * integer(2, generator)
        weights = weights * (torch.rand(len(weights), generator=generator) >= flagged)
        return self._gridded(rows.uvw[:, :2], weights, generator)

    def _gridded(self, uv: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
        side = 2 * self.skies.size
        longest = uv.abs().amax().clamp(min=1e-9)
        cells = uv / longest * side / 2 / logarithmic(*self.oversampling, generator)
        channels = 1 + integer(max(1, min(8, ROWS // len(uv))), generator) * integer(2, generator)
        band = float(uniform(0.02, 0.3, 1, generator))
        scales = 1 - band * torch.linspace(0, 1, channels, dtype=uv.dtype)
        column, row = (cells[:, None] * scales[:, None]).round().long().remainder(side).flatten(0, 1).unbind(1)
        grid = torch.zeros(side * side)
        grid.index_add_(0, row * side + column, weights.float().repeat_interleave(channels))
        return grid.reshape(side, side) if bool(grid.any()) else grid.reshape(side, side) + 1

    def _stations(self, generator: torch.Generator) -> Tensor:
        """Draw the positions of stations, (A, 3) in metres of the ITRF."""
        name = self.arrays[integer(len(self.arrays), generator)]
        if name == RANDOM:
            return self._scattered(generator)
        found = self.positions[name]
        low, high = (min(n, len(found)) for n in self.stations)
        count = high if integer(2, generator) else low + integer(high - low + 1, generator)
        return found[torch.randperm(len(found), generator=generator)[:count]]

    def _scattered(self, generator: torch.Generator) -> Tensor:
        """Draw stations around a place at a random latitude, whose distances from it grow geometrically or evenly."""
        low, high = self.stations
        count = low + integer(high - low + 1, generator)
        dense = float(uniform(0, 3, 1, generator))
        distance = (
            1e4
            * torch.exp(-dense * torch.rand(count, generator=generator))
            * torch.rand(count, generator=generator).sqrt()
        )
        angle = uniform(0, 2 * math.pi, count, generator)
        if integer(2, generator):  # along three arms
            third = 2 * math.pi / 3
            angle = (angle / third).floor() * third + 0.1 * torch.randn(count, generator=generator)
        latitude = float(uniform(-1, 1, 1, generator))
        east, north = distance * angle.cos(), distance * angle.sin()
        up = 6.371e6
        sine, cosine = math.sin(latitude), math.cos(latitude)
        return torch.stack([up * cosine - north * sine, east, up * sine + north * cosine], 1).double()

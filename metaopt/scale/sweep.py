"""Run a network over the tiles of a large x, step by step, so that tiles exchange halos of one step.

There is one loop, :func:`sweep`, in memory and on disk. The stages of a run are the start, each step, and the readout.
Each follows the one before it at the distance of a halo, so that in memory only the rows between two stages are held;
on disk a stage is finished before the next one begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..core import MetaoptError, Unrolled
from ..core.algorithm import advance
from ..operators.reach import PerAxis, Window, per_axis
from ..problems import protocol
from .layout import Layout, layout_of
from .locality import check_local
from .problem import WindowedProblem, step_halo, step_period
from .tiling import along
from .workers import Runner, in_turn

Read = Callable[[Window], Any]  # a problem of a window


class Level(Protocol):
    """Hold the state between two stages."""

    @property
    def layout(self) -> Layout: ...

    def open(self, stop: int) -> None: ...

    def read(self, window: Window) -> Any: ...

    def write(self, window: Window, parts: Sequence[Tensor]) -> None: ...

    def close(self, stop: int) -> None: ...

    def drop(self, before: int) -> None: ...


Work = Callable[[Any, Any, Any], Any]  # of the algorithm, the problem of a window and its state


class Stage(NamedTuple):
    """Hold what a stage computes, where its state goes, and how it gets its problem.

    Args:
        work: A function of (algorithm, problem, state before) that returns the state after.
        prepare: A function of the level before that returns how the problem of a window is read.
        level: Where the state after it is held.
    """

    work: Work
    prepare: Callable[[Any], Read]
    level: Any


@dataclass(frozen=True)
class Tiles:
    """Hold how x is cut: its sizes, those of a tile, the halo and the period, one number for each axis."""

    shape: tuple[int, ...]
    size: tuple[int, ...]
    halo: tuple[int, ...]
    period: tuple[int, ...]

    def of(self, band: slice) -> Iterator[tuple[Window, Window]]:
        """Give (window, tile) for the tiles of some rows."""
        bands = (band, *[None] * (len(self.shape) - 1))
        axes = zip(self.shape, self.size, self.halo, self.period, bands, strict=True)
        for pairs in itertools.product(*(list(along(*axis)) for axis in axes)):
            yield tuple(computed for computed, _ in pairs), tuple(kept for _, kept in pairs)

    @property
    def lag(self) -> int:
        """Return by how many rows a stage stays behind the one before it."""
        return -(-self.halo[0] // self.period[0]) * self.period[0]

    @property
    def sides(self) -> tuple[int, ...]:
        """Return the sizes of a tile, rounded up to multiples of the period."""
        return tuple(-(-s // p) * p for s, p in zip(self.size, self.period, strict=True))


def tiles_of(net: Unrolled, problem: WindowedProblem, size: PerAxis, halo: PerAxis | None = None) -> Tiles:
    """Return how a problem is cut for a network.

    Args:
        net: The unrolled algorithm.
        problem: The problem.
        size: Pixels a side of a tile.
        halo: Pixels around a tile. None: as many as make the result exact.

    Returns:
        The tiles.

    Raises:
        MetaoptError: The step has no reach, or a size is not positive.
    """
    dims, halo = len(problem.shape), step_halo(net, problem.operator) if halo is None else halo
    period = per_axis(step_period(net, problem.operator), dims, 1)
    tiles = Tiles(problem.shape, per_axis(size, dims, 1), per_axis(halo, dims, 0), period)
    if any(s < 1 or h < 0 for s, h in zip(tiles.size, tiles.halo, strict=True)):
        raise MetaoptError(f"Tiles need a size of at least 1 and a halo of at least 0, but got {size} and {halo}.")
    return tiles


def sweep(
    algorithm: Any, stages: Sequence[Stage], tiles: Tiles, rows: int, run: Runner = in_turn, given: Level | None = None
) -> None:
    """Run all stages over all tiles, ``rows`` rows of x at a time.

    Args:
        algorithm: The algorithm.
        stages: The stages, in order.
        tiles: How x is cut.
        rows: How many rows the first stage computes before the second begins; a multiple of the period.
        run: How the tiles of a stage are run.
        given: The level before the first stage, or None.
    """
    height, before = tiles.shape[0], [given, *(stage.level for stage in stages)]
    done = [0] * len(stages)
    for wave in itertools.count(1):
        for i, stage in enumerate(stages):
            stop = min(height, max(0, wave * rows - i * tiles.lag))
            if stop == done[i]:
                continue
            stage.level.open(stop)
            read = stage.prepare(before[i])
            run(
                partial(compute_tile, algorithm, stage.work, read, before[i], stage.level),
                tiles.of(slice(done[i], stop)),
            )
            done[i] = stop
            stage.level.close(stop)
            if before[i] is not None:
                before[i].drop(height if stop == height else stop - tiles.lag)
        if all(stop == height for stop in done):
            return


def compute_tile(
    algorithm: Any, work: Work, read: Read, before: Any, after: Level, pair: tuple[Window, Window]
) -> None:
    """Compute one stage of one tile, from one level into the next.

    Args:
        algorithm: The algorithm.
        work: What the stage computes.
        read: How the problem of a window is read.
        before: The level before, or None.
        after: The level after.
        pair: The window to compute, and the tile that is kept of it.
    """
    computed, kept = pair
    with torch.no_grad():
        state = None if before is None else before.read(computed)
        after.write(kept, after.layout.cut(work(algorithm, read(computed), state), computed, kept))


def started(algorithm: Any, problem: Any, state: Any) -> Any:
    """Return the state before the first step."""
    return algorithm.init(problem)


def stepped(k: int, algorithm: Any, problem: Any, state: Any) -> Any:
    """Return the state after step ``k``."""
    return advance(algorithm, problem, state, k)


def prepared(read: Read, k: int, level: Any) -> Read:
    """Return how windows are read where nothing has to be computed before."""
    return read


def shown(k: int, algorithm: Any, problem: Any, state: Any) -> Any:
    """Return the readout after step ``k``."""
    return algorithm.readout(problem, state, k)


def layouts(net: Unrolled, read: Read, tiles: Tiles, steps: int) -> tuple[Layout, Layout]:
    """Return the layouts of the state and of the readout of a network on a problem, and check that it is local.

    Args:
        net: The unrolled algorithm.
        read: How the problem of a window is read.
        tiles: How x is cut.
        steps: How many steps will be run.

    Returns:
        The two layouts.

    Raises:
        MetaoptError: A tensor of them cannot be cut, or a layer of the network looks further than the network says.
    """
    algorithm = net.algorithm

    def state(window: Window) -> Any:
        return algorithm.init(read(window))

    def readout(window: Window) -> Any:
        return algorithm.readout(read(window), state(window), 0)

    with torch.no_grad():
        held = layout_of(state, tiles.shape, tiles.period, algorithm)
        x = layout_of(lambda window: read(window).start(), tiles.shape, tiles.period, algorithm)
        few = tuple(slice(0, min(n, p)) for n, p in zip(tiles.shape, tiles.period, strict=True))
        levels = protocol.context(read(few))
        one = tuple(t[:1] if t.ndim < 2 else t[(slice(0, 1), ..., *[slice(0, 1)] * len(tiles.shape))] for t in levels)
        check_local(net, steps, held, x, one)
        return held, layout_of(readout, tiles.shape, tiles.period, algorithm)

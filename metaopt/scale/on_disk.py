"""Run a network on an x that is larger than memory: its state is on disk, and every step is a checkpoint."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..arguments.contracts import Natural, checked
from ..core import MetaoptError, Unrolled
from ..core.slots import check_steps
from ..operators.reach import PerAxis
from ..problems import InverseProblem
from ..problems.noise import per_sample
from .convolved import Convolved, StoredGradient, check_units
from .in_memory import entered
from .problem import WindowedProblem, looked_at
from .store import StoredLevel, begin, digest, record
from .sweep import Stage, layouts, prepared, shown, started, stepped, sweep, tiles_of
from .workers import runner, told


@checked
def out_of_core(
    net: Unrolled,
    problem: InverseProblem | WindowedProblem | Convolved,
    folder: str | Path,
    size: PerAxis,
    steps: Natural | None = None,
    workers: Any = None,
) -> Any:
    """Compute ``net(problem, steps=steps).final`` on disk, for an x and a state that are larger than memory.

    The state of a step is a zarr array for each of its tensors, (B, features, ...). Each step is a pass over tiles with
    a halo of one step, and a checkpoint; the state before it is then deleted. A run that was cut off goes on after
    the last whole step when it is called again, and gives the same bytes; so does one for more steps. A worker's memory
    is that of a tile. The gradient of a :class:`Convolved` problem is computed by Fourier transforms of rows, then
    of columns.

    Args:
        net: An unrolled algorithm whose step has a reach, as for :func:`tiled`.
        problem: A problem in memory; one that is read window by window; or one whose A^H A is a convolution.
        folder: The folder of the run, which is made. It needs room for the state twice.
        size: Pixels a side of a tile without its halo, one number or one for each axis.
        steps: Number of steps. None: that of the network.
        workers: None: one tile after the other; a number of threads; a ``distributed.Client``; or the address of a dask
            scheduler, whose workers see the same folder. With several, let torch use one thread each.

    Returns:
        A zarr array in the folder, (B, C, ...), from which windows are read by slices.

    Raises:
        MetaoptError: As for :func:`tiled`; the folder is of another run, its disk is full, or a worker was killed.
    """
    folder, steps = os.fspath(folder), net.steps if steps is None else steps
    check_steps(net.algorithm, steps)
    if isinstance(problem, Convolved):
        check_units(net.algorithm.trained_range, problem)
    given, scale = entered(net, problem)
    with told(folder), runner(workers) as run, torch.no_grad():
        tiles = tiles_of(net, given, size)
        source = StoredGradient(given, net.algorithm, folder, tiles, run) if isinstance(given, Convolved) else None
        state, readout = layouts(net, given.read, tiles, steps)
        levels = [StoredLevel(folder, f"step_{k}", state, tiles, k, k == steps) for k in range(steps + 1)]
        result = StoredLevel(folder, f"result_{steps}", readout, tiles)
        of = problem if isinstance(problem, InverseProblem) else looked_at(given)
        need = 2 * levels[0].size + result.size + (0 if source is None else source.size)
        facts = begin(folder, digest(net.algorithm, of, tiles), need)
        if not facts.get(result.name):
            prepare = partial(prepared, given.read) if source is None else source.prepare
            stages = [Stage(started, partial(prepare, 0), levels[0])]
            stages += [Stage(partial(stepped, k), partial(prepare, k), levels[k + 1]) for k in range(steps)]
            stages.append(Stage(partial(_shown, scale, max(0, steps - 1)), partial(prepared, given.read, 0), result))
            done = _last_whole(facts, levels)
            rows = tiles.shape[0] + len(stages) * tiles.lag  # all of them, before the next stage
            sweep(net.algorithm, stages[done + 1 :], tiles, rows, run, levels[done] if done >= 0 else None)
            record(folder, {result.name: True})
        return result.array(0)


def _last_whole(facts: dict[str, Any], levels: list[StoredLevel]) -> int:
    """Return the number of the last level that is whole, or -1, after deleting those before it."""
    done = facts["done"]
    if done >= len(levels):
        raise MetaoptError(
            f"{levels[0].folder} holds the state after {done} steps, from which that after {len(levels) - 1} cannot be "
            "computed; ask for more steps, or give another folder."
        )
    for level in levels[: max(0, done)]:
        level.drop(level.tiles.shape[0])
    if done >= 0:
        levels[done].check_whole()
    return done


def _shown(scale: Any, k: int, algorithm: Any, problem: Any, state: Any) -> Any:
    """Return the readout in the units of the problem."""
    x = shown(k, algorithm, problem, state)
    return x if scale is None else x / per_sample(scale, x)

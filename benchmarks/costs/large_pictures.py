"""A Recurrent Inference Machine on pictures of noise, on disk and in memory: seconds, peak memory, bytes written."""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import zarr
from torch import Tensor

import metaopt as mo
from metaopt.scale import WindowedProblem, out_of_core

from ..memory import peak_of

FEATURES, STEPS, TILE, NOISE = 16, 2, 1024, 0.1
Row = dict[str, Any]


def network(channels: int = 1, **cell: Any) -> mo.Unrolled:
    with mo.foundation.drawing.drawing_from(0):
        net = mo.models.rim(channels=channels, hidden=FEATURES, steps=STEPS, **cell)
        for parameter in net.algorithm.update.module.step_size.parameters():
            torch.nn.init.normal_(parameter, std=0.01)
    return net


def write_noise(path: Path, channels: int, side: int) -> Any:
    """A picture on disk, (1, channels, side, side), written in bands."""
    tile = min(side, TILE // 4)
    array = zarr.create_array(
        str(path), shape=(1, channels, side, side), chunks=(1, channels, tile, tile), dtype="float32", compressors=None
    )
    draws = torch.Generator().manual_seed(0)
    for row in range(0, side, tile):
        array[..., row : row + tile, :] = torch.rand(1, channels, tile, side, generator=draws).numpy()
    return array


def read_window(array: Any, window: tuple[slice, ...]) -> mo.InverseProblem:
    return mo.InverseProblem(mo.operators.Identity(), torch.from_numpy(array[(..., *window)]), NOISE)


def on_disk(side: int, channels: int, workers: int) -> Row:
    """``seconds`` and ``bytes`` are of a run from the picture to the result, ``gib`` what the process grew by."""
    folder = Path(tempfile.mkdtemp(prefix="scale"))
    try:
        array = write_noise(folder / "y", channels, side)
        problem = WindowedProblem(partial(read_window, array), (side, side))
        run = partial(
            out_of_core, network(channels), problem, folder / "run", TILE, None, None if workers == 1 else workers
        )
        begin = time.perf_counter()
        _, peak = peak_of(run)
        seconds = time.perf_counter() - begin
        held = sum(file.stat().st_size for file in (folder / "run").rglob("*") if file.is_file())
    finally:
        shutil.rmtree(folder)
    return {
        "where": "disk",
        "side": side,
        "channels": channels,
        "workers": workers,
        "seconds": seconds,
        "gib": peak,
        "bytes": held,
    }


def in_memory(side: int, channels: int) -> Row:
    """The same untiled, the picture in memory beforehand."""
    net, draws = network(channels), torch.Generator().manual_seed(0)
    problem = mo.InverseProblem(mo.operators.Identity(), torch.rand(1, channels, side, side, generator=draws), NOISE)
    begin = time.perf_counter()
    with torch.no_grad():
        _, peak = peak_of(lambda: net(problem).final)
    return {
        "where": "memory",
        "side": side,
        "channels": channels,
        "workers": 1,
        "seconds": time.perf_counter() - begin,
        "gib": peak,
    }


def difference(shape: tuple[int, int], tile: int) -> Row:
    """The largest, in float64, between a run on disk and the network untiled, for a network with strides and scales."""
    net = network(kernels=(3, 1), stride=2, scales=(2, 4)).double()
    y = torch.rand(1, 1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    problem = mo.InverseProblem(mo.operators.Identity(), y, NOISE)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        found: Tensor = torch.as_tensor(out_of_core(net, problem, Path(folder) / "run", tile)[:])
        return {"shape": list(shape), "tile": tile, "difference": float((found - net(problem).final).abs().max())}

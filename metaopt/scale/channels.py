"""Compute the pictures of many channels one by one, into an array on disk that a run which was cut off goes on with."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from ..arguments.checks import said
from ..arguments.contracts import Count, checked
from ..core import MetaoptError
from ..foundation.extras import require
from .store import begin, digest, make_array
from .workers import runner, told


@checked
def channel_by_channel(
    compute: Callable[[int], Tensor], channels: Count, folder: str | Path, what: str, workers: Any = None
) -> Any:
    """Compute a spectral cube channel by channel on disk.

    Memory is that of one channel for each worker. A channel is written at once or not at all; called again, a run that
    was cut off goes on with those that are missing.

    Args:
        compute: A function of the number of a channel that returns its picture, a tensor (H, W) of one size and dtype
            for all. For workers in other processes it must be picklable.
        channels: The number of channels.
        folder: The folder of the run, which is made.
        what: What is computed, in words that differ for another network or measurement.
        workers: As for :func:`out_of_core`.

    Returns:
        A zarr array in the folder, (channels, H, W).

    Raises:
        MetaoptError: The folder is of another run, a channel has another size, its disk is full, or a worker was
            killed; the channels that were computed stay.
    """
    folder = os.fspath(folder)
    path = Path(folder) / "cube"
    with told(folder), runner(workers) as run:
        begin(folder, digest(what, channels), 0)
        if not (path / "zarr.json").exists():
            first = _computed(compute, 0)
            group = require("zarr", "scale").open_group(folder, mode="r+")
            make_array(group, "cube", (channels, *first.shape), first, (1, *first.shape))
            _cube(path)[0] = first.detach().cpu().numpy()
        array = _cube(path)
        begun = [0] * (array.ndim - 1)
        missing = [c for c in range(channels) if not (path / array.metadata.encode_chunk_key((c, *begun))).exists()]
        run(partial(_store, compute, path), missing)
        return array


def _cube(path: Path) -> Any:
    return require("zarr", "scale").open_array(str(path), mode="r+").with_config({"write_empty_chunks": True})


def _computed(compute: Callable[[int], Tensor], channel: int) -> Tensor:
    try:
        picture = compute(channel)
    except MetaoptError as error:
        raise MetaoptError(f"Channel {channel}: {error}") from error
    if not isinstance(picture, Tensor):
        raise MetaoptError(f"Channel {channel} must be a tensor (H, W), not {said(picture)}.")
    return picture


def _store(compute: Callable[[int], Tensor], path: Path, channel: int) -> None:
    array, picture = _cube(path), _computed(compute, channel)
    if tuple(picture.shape) != array.shape[1:]:
        raise MetaoptError(f"Channel {channel} is {tuple(picture.shape)}, but the first one is {array.shape[1:]}.")
    array[channel] = picture.detach().cpu().numpy()

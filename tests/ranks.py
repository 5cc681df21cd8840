"""Processes that are joined as ``torchrun`` joins them, but forked from this one, which takes a tenth of a second."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

PATIENCE = 240.0  # seconds, on a machine that does other things as well


@dataclass(frozen=True)
class Failed:
    """What a process returned that raised an error: its sentence, and where that happened."""

    sentence: str
    trace: str


def run(folder: Path, function: Callable[..., Any], *arguments: Any, world: int = 2) -> list[Any]:
    """What ``function(rank, *arguments)`` returned in each of ``world`` processes."""
    results = _results(folder, function, arguments, world)
    for result in results:
        assert not isinstance(result, Failed), result.trace
    return results


def sentences(folder: Path, function: Callable[..., Any], *arguments: Any) -> list[str]:
    """What the errors say that ``function(rank, *arguments)`` raised in each of two processes."""
    results = _results(folder, function, arguments, 2)
    assert all(isinstance(result, Failed) for result in results), results
    return [result.sentence for result in results]


def _results(folder: Path, function: Callable[..., Any], arguments: Any, world: int) -> list[Any]:
    context = multiprocessing.get_context("fork")
    meeting = folder / f"meeting{len(list(folder.glob('meeting*')))}"
    ends = [context.Pipe(duplex=False) for _ in range(world)]
    processes = [
        context.Process(target=_one, args=(rank, world, meeting, end, function, arguments), daemon=True)
        for rank, (_, end) in enumerate(ends)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, about forks of processes with threads
        for process in processes:
            process.start()
    try:
        for _, sending in ends:
            sending.close()
        for rank, (receiving, _) in enumerate(ends):
            assert receiving.poll(PATIENCE), f"rank {rank} waits for the others, or takes too long"
        return [pickle.loads(receiving.recv_bytes()) for receiving, _ in ends]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _one(rank: int, world: int, meeting: Path, end: Any, function: Callable[..., Any], arguments: Any) -> None:
    torch.set_num_threads(1)  # the threads of the parent are not there
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    os.environ.update({name: str(value) for name, value in names.items()})
    limit = timedelta(seconds=PATIENCE)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world, timeout=limit)
    try:
        result = function(rank, *arguments)
    except Exception as error:
        result = Failed(str(error), traceback.format_exc())
    end.send_bytes(pickle.dumps(result))
    dist.destroy_process_group()

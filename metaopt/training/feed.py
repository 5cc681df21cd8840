"""The batches of a training, drawn ahead by other processes and put where the network is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..core import random, tree
from ..tasks import Task


class _Samples(Dataset):
    def __init__(self, task: Task):
        self.task = task

    def __getitem__(self, seed: int) -> Any:
        return self.task.sample(seed)


def feed(task: Task, seeds: Sequence[int], num_workers: int, device: torch.device) -> Iterator[tuple[Any, Any]]:
    """(problem, target) of every seed in turn, on ``device``, drawn by so many processes (0: by this one)."""
    generator = random.generator(0)  # the loader draws from one, and the global one is not its to draw from
    loader = DataLoader(
        _Samples(task),
        batch_size=None,
        sampler=seeds,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        generator=generator,
    )
    for sample in loader:
        yield tree.to(sample, device)


def _as_it_is(sample: Any) -> Any:
    return sample

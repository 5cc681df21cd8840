"""Draw the batches of a training ahead by worker processes, and move them to the network's device."""

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
    """Draw the batches of the given seeds in turn.

    Args:
        task: The task.
        seeds: The seed of each batch.
        num_workers: Number of processes that draw ahead. 0: this process draws each batch when it is needed.
        device: Where the tensors of the batches are moved.

    Returns:
        An iterator over (problem, target).
    """
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

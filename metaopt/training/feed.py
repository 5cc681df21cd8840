"""Draw the batches of a training ahead by worker processes, and move them to the network's device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..core import random, tree
from ..tasks import Task
from .arguments import check_sample


def batch_seed(seed: int, update: int, batch: int) -> int:
    """Return a seed for every batch; the seeds of two batches, of one training or of two, are unrelated.

    Args:
        seed: The seed of the training.
        update: The number of the update.
        batch: The number of the batch in the update.

    Returns:
        The seed.
    """
    return random.derive(seed, update, batch)


class Seeds(Sequence[int]):
    """List the seeds of the batches of some updates without holding them.

    Args:
        seed: The seed of the training.
        updates: The numbers of the updates.
        batches: The numbers of the batches in each update.
    """

    def __init__(self, seed: int, updates: range, batches: range):
        self.seed, self.updates, self.batches = seed, updates, batches

    def __len__(self) -> int:
        return len(self.updates) * len(self.batches)

    def __getitem__(self, index: Any) -> Any:
        update, batch = divmod(range(len(self))[index], len(self.batches))
        return batch_seed(self.seed, self.updates[update], self.batches[batch])


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
        yield tree.to(check_sample(sample), device)


def _as_it_is(sample: Any) -> Any:
    return sample

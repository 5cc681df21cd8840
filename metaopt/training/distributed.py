"""Train data-parallel under ``torchrun``, and in a single process otherwise."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..core import MetaoptError


@dataclass(frozen=True)
class Workers:
    """Describe this process among the processes of a training; microbatch j belongs to rank j modulo world.

    Args:
        rank: The number of this process.
        world: The number of processes.
    """

    rank: int
    world: int

    @property
    def leads(self) -> bool:
        """Return whether this process writes the files."""
        return self.rank == 0

    def share(self, batches: int) -> range:
        """Return the indices of the microbatches of an update that belong to this process.

        Args:
            batches: Number of microbatches of an update.

        Returns:
            The indices.

        Raises:
            MetaoptError: The number of microbatches is not a multiple of the number of processes.
        """
        if batches % self.world:
            raise MetaoptError(
                f"An update has {batches} batches, which {self.world} processes cannot share evenly; "
                f"set batches to a multiple of {self.world}."
            )
        return range(self.rank, batches, self.world)

    def wrap(self, net: nn.Module) -> nn.Module:
        """Wrap the whole unrolled network for data parallelism, so that inner gradients stay inside its forward.

        Args:
            net: The unrolled network.

        Returns:
            The network in ``DistributedDataParallel``, or the network itself in a single process.
        """
        return net if self.world == 1 else nn.parallel.DistributedDataParallel(net)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over all processes.

        Args:
            value: A tensor of the same shape in every process.

        Returns:
            The mean, the same in every process.
        """
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.world
        return value

    def wait(self) -> None:
        """Wait until all processes have come this far."""
        if self.world > 1:
            dist.barrier()


@contextlib.contextmanager
def workers() -> Iterator[Workers]:
    """Open the process group that ``torchrun`` asked for (gloo on CPUs, nccl on GPUs), or a single worker.

    Returns:
        A context manager that gives the :class:`Workers` of this process.
    """
    said = os.environ.get("WORLD_SIZE", "1")
    if not said.isdecimal() or not 1 <= int(said) <= 2**20:
        raise MetaoptError(f"WORLD_SIZE is {said!r:.40}, but is the number of processes that torchrun started.")
    world = int(said)
    if world == 1:
        yield Workers(0, 1)
        return
    started = not dist.is_initialized()
    if started:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Workers(dist.get_rank(), dist.get_world_size())
    finally:
        if started:
            dist.destroy_process_group()


def hold_gradients(net: nn.Module, last: bool) -> Any:
    """Delay the exchange of gradients until the last backward pass of an update.

    Args:
        net: The network, wrapped or not.
        last: Whether this is the last backward pass of the update.

    Returns:
        A context manager for the forward and backward pass.
    """
    if last or not isinstance(net, nn.parallel.DistributedDataParallel):
        return contextlib.nullcontext()
    return net.no_sync()

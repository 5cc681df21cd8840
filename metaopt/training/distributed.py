"""Data-parallel training when started by ``torchrun``; one process otherwise."""

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
    """``rank`` of ``world`` processes; microbatch j of an update belongs to rank j modulo world."""

    rank: int
    world: int

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, batches: int) -> range:
        """This process's microbatches of an update's ``batches``."""
        if batches % self.world:
            raise MetaoptError(
                f"An update has {batches} batches, which {self.world} processes cannot share evenly; "
                f"set batches to a multiple of {self.world}."
            )
        return range(self.rank, batches, self.world)

    def wrap(self, net: nn.Module) -> nn.Module:
        """DistributedDataParallel around the whole unrolled module, so that inner gradients stay inside its forward."""
        return net if self.world == 1 else nn.parallel.DistributedDataParallel(net)

    def mean(self, value: Tensor) -> Tensor:
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.world
        return value

    def wait(self) -> None:
        if self.world > 1:
            dist.barrier()


@contextlib.contextmanager
def workers() -> Iterator[Workers]:
    """The process group that ``torchrun`` asked for (gloo on CPUs, nccl on GPUs), or a single worker."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
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
    """Exchange gradients only in the last backward pass of an update."""
    if last or not isinstance(net, nn.parallel.DistributedDataParallel):
        return contextlib.nullcontext()
    return net.no_sync()

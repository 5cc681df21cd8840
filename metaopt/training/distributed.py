"""Train data-parallel under ``torchrun``, and in a single process otherwise.

Gradients are averaged once an update, after the backward passes. ``DistributedDataParallel``, which averages within
them, would gain nothing: where steps share their weights, a gradient is complete only when the way back has reached the
first step. Here a parameter may be without gradient in a process that took fewer steps, the loss may run the network
again, and a process that fails tells the others, which would wait for it otherwise.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..core import MetaoptError
from ..core.tree import describe

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Workers:
    """Describe this process among the processes of a training; microbatch j belongs to rank j modulo world.

    Args:
        rank: The number of this process.
        world: The number of processes.
        device: Where this process trains.
    """

    rank: int
    world: int
    device: torch.device = CPU

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

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Stop every process where the code in the context fails in one of them; that code exchanges nothing itself.

        Returns:
            A context manager that all processes enter.

        Raises:
            MetaoptError: Several processes train, and the code failed in one; all say the same, with its rank.
        """
        failed = None
        try:
            yield
        except Exception as error:
            if self.world == 1:
                raise
            failed = error
        if self.world > 1 and float(self._sum(torch.tensor([float(failed is not None)]))):
            text = str(failed) if isinstance(failed, MetaoptError) else f"{type(failed).__name__}: {failed}"
            said = [s for s in enumerate(self._gather(None if failed is None else text)) if s[1] is not None]
            rank, sentence = said[0]
            alike = len(said) == self.world and len({text for _, text in said}) == 1
            raise MetaoptError(
                sentence if alike else f"Rank {rank} stopped the training of all {self.world} processes: {sentence}"
            ) from failed

    def check_alike(self, net: nn.Module, given: Mapping[str, Any]) -> None:
        """Check that all processes were given the same.

        Args:
            net: The network, whose tensors are compared by their shapes and dtypes.
            given: What else this process was given, by names.

        Raises:
            MetaoptError: A process was given something else than the first one.
        """
        if self.world == 1:
            return
        tensors = {f"network at {n}": describe(t) for n, t in (*net.named_parameters(), *net.named_buffers())}
        said = self._gather({**{name: repr(value) for name, value in given.items()}, **tensors})
        for rank, other in enumerate(said):
            if (name := next((n for n in {**said[0], **other} if said[0].get(n) != other.get(n)), None)) is not None:
                first, second = (f"{of.get(name, 'nothing'):.300}" for of in (said[0], other))
                raise MetaoptError(
                    f"All processes of a training are given the same {name}, but rank {rank} got {second} where rank 0 "
                    f"got {first}."
                )

    def average(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Replace the gradients of all processes by their means; one that a process lacks counts as zero there.

        Args:
            parameters: The parameters, in the same order in every process.
            loss: A scalar.

        Returns:
            The mean of the scalar.
        """
        if self.world == 1:
            return loss
        parameters = [p for p in parameters if p.requires_grad]
        used = torch.tensor([float(p.grad is not None) for p in parameters], dtype=torch.float64)
        mean, *used = (self._sum(torch.cat([loss.reshape(1).double().cpu(), used])) / self.world).unbind()
        trained = [p for p, share in zip(parameters, used, strict=True) if share > 0]
        for kind in dict.fromkeys((p.dtype, p.device) for p in trained):
            some = [p for p in trained if (p.dtype, p.device) == kind]
            for p in some:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            gradients = [_real(p.grad) for p in some if p.grad is not None]
            flat = torch.cat([g.reshape(-1) for g in gradients])
            dist.all_reduce(flat)
            parts = (flat / self.world).split([g.numel() for g in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
        return mean

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors in all processes the values that they have in the first.

        Args:
            tensors: Tensors of the same shapes and dtypes in every process.
        """
        tensors = [t.detach() for t in tensors if t.numel()]
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([t.contiguous().reshape(-1).view(torch.uint8).to(self.device) for t in tensors])
        dist.broadcast(flat, 0)
        if not self.leads:
            parts = flat.split([t.numel() * t.element_size() for t in tensors])
            for tensor, part in zip(tensors, parts, strict=True):  # cloned, because a view needs an aligned start
                tensor.copy_(part.clone().view(tensor.dtype).view(tensor.shape))

    def first(self, value: Any) -> Any:
        """Return what the first process holds.

        Args:
            value: Anything that can be sent, without tensors on an accelerator.

        Returns:
            That of the first process.
        """
        held = [value]
        if self.world > 1:
            dist.broadcast_object_list(held, 0)
        return held[0]

    def _sum(self, values: Tensor) -> Tensor:
        values = values.to(self.device, copy=True)
        dist.all_reduce(values)
        return values.cpu()

    def _gather(self, value: Any) -> list[Any]:
        held: list[Any] = [None] * self.world
        dist.all_gather_object(held, value)
        return held


@contextlib.contextmanager
def workers(device: torch.device = CPU) -> Iterator[Workers]:
    """Join the processes that ``torchrun`` started (by gloo, on GPUs by nccl), or be a single worker.

    A process group that the program has made already is used as it is.

    Args:
        device: Where this process trains.

    Returns:
        A context manager that gives the :class:`Workers` of this process.

    Raises:
        MetaoptError: The processes cannot be joined, or two of them train on the same GPU.
    """
    started = not (dist.is_available() and dist.is_initialized())
    if started and _world() == 1:
        yield Workers(0, 1, device)
        return
    if device.type == "cuda":  # what nccl exchanges lies there
        torch.cuda.set_device(device)
    if started:
        _join(device)
    try:
        team = Workers(dist.get_rank(), dist.get_world_size(), device)
        _check_devices(team)
        yield team
    finally:
        if started:
            dist.destroy_process_group()


def _world() -> int:
    said = os.environ.get("WORLD_SIZE", "1")
    if not said.isdecimal() or not 1 <= int(said) <= 2**20:
        raise MetaoptError(f"WORLD_SIZE is {said!r:.40}, but is the number of processes that torchrun started.")
    return int(said)


def _join(device: torch.device) -> None:
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise MetaoptError(
            f"The {_world()} processes that WORLD_SIZE announces cannot be joined ({reason}); start them by torchrun, "
            "or unset WORLD_SIZE to train in one."
        ) from error


def _check_devices(team: Workers) -> None:
    """Check that no two processes train on one GPU, as they do where all of them say ``net.to("cuda")``."""
    if team.device.type != "cuda":
        return
    places: Sequence[tuple[str, str]] = team._gather((platform.node(), str(team.device)))
    for rank, place in enumerate(places):
        if (other := places.index(place)) < rank:
            raise MetaoptError(
                f"Ranks {other} and {rank} both train on {place[1]} of {place[0]}; start at most one process for each "
                'GPU, and call torch.cuda.set_device(int(os.environ["LOCAL_RANK"])) before the network is moved.'
            )


def _real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor

"""Measure a network on fixed batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ..core import Unrolled, tree
from ..losses import Supervised, TrainingLoss
from ..losses.adapters import of_last_step
from ..losses.training_loss import check_training_loss, evaluate
from ..tasks import Task
from .arguments import check_sample, check_task, check_unrolled
from .feed import batch_seed
from .settings import MOST, check_count


@torch.no_grad()
def validation_loss(
    net: Unrolled[Any, Any, Any],
    task: Task,
    batches: int,
    loss: TrainingLoss = Supervised(),  # noqa: B008
) -> float:
    """Return the mean loss over fixed batches, the same in every training, in evaluation mode.

    :class:`~metaopt.losses.Supervised` and :class:`~metaopt.losses.Unsupervised` are evaluated on the last step alone.
    Any other loss sees the whole trajectory, as in training.

    Args:
        net: The unrolled network.
        task: Draws the batches.
        batches: Number of batches.
        loss: The training loss.

    Returns:
        The mean.

    Raises:
        MetaoptError: The loss cannot be called as a training loss, or is not one real number, or an argument is of the
            wrong type.
    """
    check_unrolled(net)
    check_training_loss(loss)
    check_task("task", task)
    check_count("batches", batches, most=MOST)
    device, last = next(net.parameters()).device, of_last_step(loss)
    samples = (tree.to(check_sample(task.sample(batch_seed(-1, 0, j) % 2**31)), device) for j in range(batches))
    with _evaluating(net):
        losses = [float(evaluate(last, net, net(problem), problem, target)) for problem, target in samples]
    return sum(losses) / len(losses)


@contextlib.contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode, in which the network is used later, and each back into its own."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode

"""Run the inner loop of ``higher`` (Grefenstette et al., arXiv:1910.01727) with differentiable optimizer steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from ..arguments.checks import check_instance
from .differentiable import DifferentiableOptimizer, Override
from .optim import get_diff_optim
from .patch import FunctionalModule, monkeypatch


@contextlib.contextmanager
def innerloop_ctx(
    model: nn.Module,
    opt: torch.optim.Optimizer,
    device: torch.device | str | None = None,
    copy_initial_weights: bool = True,
    override: Override | None = None,
    track_higher_grads: bool = True,
) -> Iterator[tuple[FunctionalModule, DifferentiableOptimizer]]:
    """Open an inner loop as ``higher.innerloop_ctx`` does: a functional copy of a model, and differentiable steps.

    ``diffopt.step(loss)`` replaces ``zero_grad``, ``backward`` and ``step``. A later loss can be differentiated with
    respect to the initial parameters, ``fmodel.parameters(time=0)``.

    Args:
        model: The model.
        opt: An optimizer of the model's parameters, of a class of ``torch.optim`` or a registered one.
        device: Where the copy lives. None: where the model is.
        copy_initial_weights: Whether to start from copies. With False the loop starts from the model's own parameters,
            which then receive gradients.
        override: Options of the optimizer to replace, such as ``{"lr": [tensor]}``: a list of one value, or of one for
            each parameter group.
        track_higher_grads: Whether to keep the graph of the steps. With False, for evaluation, memory does not grow.

    Returns:
        A context manager that gives ``(fmodel, diffopt)``.

    Raises:
        MetaoptError: The optimizer has no differentiable form here, an option is unknown, or the parameters of the
            model cannot be replaced.
    """
    check_instance("model", model, nn.Module)
    fmodel = monkeypatch(model, device, copy_initial_weights, track_higher_grads)
    yield fmodel, get_diff_optim(opt, model.parameters(), fmodel, device, override, track_higher_grads)

"""Wrap an update as a ``torch.optim.Optimizer``, which trains any network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError, tree
from ..updates.update import Update


class UpdateOptimizer(torch.optim.Optimizer):
    """Step parameters by an update; :func:`as_torch` makes it.

    ``lr`` of a parameter group multiplies the change that the update returns, so schedulers work with any update. In
    ``state``, the memory of a parameter is stored in the entries ``memory_0``, ``memory_1``, ..., and ``step`` counts
    its steps.

    Args:
        params: Parameters, or parameter groups.
        update: The update.
        lr: Factor of every change.

    Raises:
        MetaoptError: ``lr`` is negative or NaN.
    """

    def __init__(self, params: Iterable[Any], update: Update, lr: float = 1.0):
        if not lr >= 0:
            raise MetaoptError(f"lr multiplies the changes and must be at least 0, but got {lr}.")
        self.update = update
        self._structures: dict[int, Any] = {}  # structure of the memory, by the number of parameters
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step for every parameter that has a gradient.

        Args:
            closure: A function that computes the loss and its gradients, called first. None: the gradients are there.

        Returns:
            The value of the closure, or None.

        Raises:
            MetaoptError: A parameter is complex, or its gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            found = [p for p in group["params"] if p.grad is not None]
            for parameter in found:
                _check(parameter)
            for step in dict.fromkeys(self.state[p].get("step", 0) for p in found):
                self._step([p for p in found if self.state[p].get("step", 0) == step], step, group["lr"])
        return loss

    def _step(self, parameters: list[Tensor], step: int, lr: float) -> None:
        """Step parameters that have taken equally many steps, all of them as one tree."""
        x, gradient = tuple(p.detach() for p in parameters), tuple(p.grad for p in parameters)
        memory = self._memory(x, new=not step)
        each = len(tree.leaves(memory)) // len(parameters)  # an update's memory is trees like x, one after another
        if step:
            kept = [self.state[p][f"memory_{i}"] for i in range(each) for p in parameters]
            memory = tree.fill(memory, kept)
        change, memory = self.update(gradient, x, memory, step, ())
        torch._foreach_add_(list(x), list(change), alpha=lr)  # type: ignore[attr-defined]
        parts = tree.leaves(memory)
        for j, parameter in enumerate(parameters):
            mine = {f"memory_{i}": parts[i * len(parameters) + j] for i in range(each)}
            self.state[parameter].update(step=step + 1, **mine)

    def _memory(self, x: tuple[Tensor, ...], new: bool) -> Any:
        """Return the initial memory if ``new``, otherwise only its structure, on the meta device and cached."""
        if new:
            return self.update.init(x, ())
        if len(x) not in self._structures:
            self._structures[len(x)] = self.update.init(tree.to(x, "meta"), ())
        return self._structures[len(x)]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "update": self.update, "_structures": {}}


def as_torch(update: Update, params: Iterable[Any], lr: float = 1.0) -> UpdateOptimizer:
    """Wrap ``update`` as a ``torch.optim.Optimizer``.

    ``torch.optim.lr_scheduler``, ``state_dict``, ``torch.amp.GradScaler``, copies and pickles work as with the
    optimizers of torch. A compiled update, ``as_torch(torch.compile(update), params)``, has two graphs however many
    steps there are.

    Args:
        update: A classical or learned update.
        params: Parameters of a network, or parameter groups.
        lr: Factor of the changes that the update returns. Learned updates are trained for 1.

    Returns:
        The optimizer. Its ``step`` refuses parameters that are complex or whose gradient is sparse.

    Raises:
        MetaoptError: ``lr`` is negative or NaN.

    Example:
        >>> optimizer = as_torch(metaopt.updates.Adam(1e-3), model.parameters())
    """
    return UpdateOptimizer(params, update, lr)


def _check(parameter: Tensor) -> None:
    if parameter.is_complex():
        raise MetaoptError(
            f"A parameter is {tree.describe(parameter)}; learned updates are for real ones, so optimise its real and "
            "imaginary part as two parameters (torch.view_as_real)."
        )
    if parameter.grad is not None and parameter.grad.layout != torch.strided:
        raise MetaoptError(
            f"The gradient of a parameter {tree.describe(parameter)} is {parameter.grad.layout}; build the embedding "
            "with sparse=False."
        )

"""Trainings of a network side by side, on which a learned optimizer is trained and measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..arguments.checks import check_labels, check_tensor
from ..arguments.contracts import checked
from ..core import MetaoptError, autodiff, tree
from ..foundation.kernels import differentiable_twice
from . import substitution

Parameters = dict[str, Tensor]


@checked
@dataclass(frozen=True, eq=False)
class Trainings:
    """Minimise the sum, over several trainings of one network, of its loss at minibatches that each training draws.

    x is a dict from the names of the network's parameters to tensors (trainings, ...). Step k sees minibatch k modulo
    their number. Without :meth:`at`, ``energy`` is the loss at the ``held`` samples, which no step sees.

    Args:
        module: The network; its own parameters are not used.
        loss: A function from the network's output and the targets to one real number.
        initial: x before the first step.
        data: Inputs and targets, (samples, ...) each.
        minibatches: (trainings, steps, n), which samples each step of each training sees.
        held: (trainings, m), the samples at which the energy is measured.

    Raises:
        MetaoptError: These do not fit each other, the loss is not one finite real number, or the network is one that
            :class:`Objective` refuses.
    """

    module: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    initial: Parameters
    data: tuple[Tensor, Tensor]
    minibatches: Tensor
    held: Tensor
    fused: bool = field(init=False, repr=False)  # whether the network has attention without second derivatives

    to = tree.to

    def __post_init__(self) -> None:
        self._check_samples()
        counts = {len(t) for t in (*self.initial.values(), self.minibatches, self.held)}
        if len(counts) != 1 or self.minibatches.ndim != 3 or self.held.ndim != 2:
            described = ", ".join(tree.describe(t) for t in (*self.initial.values(), self.minibatches, self.held))
            raise MetaoptError(
                "Trainings need parameters (trainings, ...), minibatches (trainings, steps, n) and held samples "
                f"(trainings, m), but got {described}."
            )
        object.__setattr__(self, "fused", False)
        substitution.check_network(self.module)
        substitution.check_hooks("the initial x", self.initial.items())
        data = [values[self.held[0]] for values in self.data]
        first = {name: tensor[0] for name, tensor in self.initial.items()}
        # First one alone: what vmap maps would hide what is read, and may not be kept after it.
        substitution.check_substitution(self.module, first, lambda x: self._loss(x, *data))
        fused = substitution.check_substitution(self.module, self.initial, self.energy)
        object.__setattr__(self, "fused", fused)

    def _check_samples(self) -> None:
        counts = {len(values) for values in self.data if values.ndim}
        if len(counts) != 1 or not min(v.ndim for v in self.data):
            described = " and ".join(tree.describe(values) for values in self.data)
            raise MetaoptError(f"The data of Trainings are inputs and targets (samples, ...), but got {described}.")
        count = counts.pop()
        for name in ("minibatches", "held"):
            chosen = check_tensor(f"The {name} of Trainings", getattr(self, name), "whole")
            check_labels(f"The {name} of Trainings", chosen, count, "samples")

    def start(self) -> Parameters:
        return self.initial

    def at(self, k: int) -> Trainings:
        """Return the problem of step ``k``."""
        return tree.replace(self, {"held": self.minibatches[:, k % self.minibatches.shape[1]]})

    def energy(self, x: Parameters) -> Tensor:
        return self.energies(x).sum()

    def energies(self, x: Parameters) -> Tensor:
        """Return the loss of each training, (trainings,)."""
        with differentiable_twice(self.fused):
            found = tree.vmap(self._loss)(x, *(values[self.held] for values in self.data))
        if found.ndim != 1:
            raise MetaoptError(
                f"The loss of {type(self.module).__name__} must be one real number, but is {tuple(found.shape[1:])}; "
                "sum or average it over the batch."
            )
        return found

    def _loss(self, x: Parameters, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of one training."""
        buffers = {name: b.detach().clone() for name, b in self.module.named_buffers()}
        return self.loss(tree.substitute(self.module, {**buffers, **x})(inputs), targets)

    def gradient(self, x: Parameters) -> Any:
        """Return the gradient of the energy, which can be differentiated again."""
        return autodiff.gradient(self.energy, x)

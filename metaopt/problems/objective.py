"""Objectives are losses over the parameters of a network, or any scalar function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.checks import check_function
from ..core import MetaoptError, autodiff, tree
from ..foundation.kernels import differentiable_twice
from ..foundation.purity import Reads
from . import substitution

Parameters = dict[str, Tensor]
Buffers = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Objective:
    """Minimise a loss over the parameters of a network: the mean over the batches of ``loss(module(inputs), targets)``.

    x is a dict from the names of the parameters that require grad to tensors; a tied weight is one entry. Every batch
    counts the same, also a smaller last one. The module is never changed: buffers, such as BatchNorm's running
    statistics, are state, without a gradient. Values are those of ``torch.func.functional_call``; what was compiled
    runs as it was written, since compiled code has no second derivative.

    Args:
        module: The network. Its parameters are the start, and gradients of what is unrolled reach them.
        loss: A function or module from the network's output and the targets to one real number.
        batches: Pairs (inputs, targets), such as a list or a DataLoader; a tuple of inputs is passed as several
            arguments. :meth:`at` makes them minibatches: step k sees number k modulo their number, so that they repeat
            in epochs.

    Raises:
        MetaoptError: There is nothing to optimise, batches are no pairs or hold NaN, the loss is not one finite real
            number, the network draws random numbers, so that its step could not be repeated, or it has a parameter
            whose place no other tensor can take, because it reads it past its submodules or torch.jit compiled it, or a
            parameter with hooks on its gradient.
    """

    module: nn.Module
    loss: Callable[[Any, Any], Tensor]
    batches: Any
    names: tuple[str, ...] = field(init=False, repr=False)  # of the parameters in x, also where they are detached
    fused: bool = field(init=False, repr=False)  # whether the network has attention without second derivatives

    to = tree.to

    def __post_init__(self) -> None:
        object.__setattr__(self, "batches", _check_batches(self.batches))
        object.__setattr__(self, "names", _learned_names(self.module))
        check_function("The loss of an Objective", self.loss, "output", "targets")
        object.__setattr__(self, "fused", False)
        self._check()

    def _check(self) -> None:
        who, start = type(self.module).__name__, self.start()
        first, *others = substitution.distinct(self.batches).values()
        measure = self.at(first)._energy_and_buffers
        fused = substitution.check_substitution(self.module, start, lambda x: measure(x, None)[0])
        object.__setattr__(self, "fused", fused)
        for k in () if autodiff.inside_transform() else others:
            with torch.no_grad():
                substitution.check_energy(f"{who} at batch {k}", lambda k=k: self.at(k).energy(start))

    def start(self) -> Parameters:
        """Return the module's parameters themselves, so that a meta-gradient reaches the initialisation."""
        named = dict(self.module.named_parameters())
        substitution.check_hooks(type(self.module).__name__, ((name, named[name]) for name in self.names))
        return {name: named[name] for name in self.names}

    def samples(self, x: Parameters) -> int:
        """Return 1: the parameters of a network are one whole, and none of their axes is a batch."""
        return 1

    def buffers(self) -> Buffers:
        """Return a copy of the module's buffers."""
        return {name: b.detach().clone() for name, b in self.module.named_buffers()}

    def at(self, k: int) -> Objective:
        """Return the problem of step ``k``, which has only minibatch number ``k`` modulo their number."""
        if len(self.batches) == 1:
            return self
        return tree.replace(self, {"batches": (self.batches[k % len(self.batches)],)})

    def network(self, x: Parameters, buffers: Buffers | None = None) -> nn.Module:
        """Return the module with parameters ``x`` and copies of ``buffers`` (default: its own), for predictions."""
        copies = self.buffers() if buffers is None else {name: b.detach().clone() for name, b in buffers.items()}
        return tree.substitute(self.module, {**x, **copies})

    def energy(self, x: Parameters, buffers: Buffers | None = None) -> Tensor:
        """Return the loss at ``x``, averaged over the batches."""
        return self._energy_and_buffers(x, buffers)[0]

    def gradient(self, x: Parameters) -> Parameters:
        """Return the gradient of the energy, which can be differentiated again."""
        return autodiff.gradient(self.energy, x)

    def gradient_and_buffers(self, x: Parameters, buffers: Buffers) -> tuple[Parameters, Buffers]:
        """Return the gradient, and the buffers after the forward pass that computed it."""
        return autodiff.gradient(lambda x: self._energy_and_buffers(x, buffers), x, has_aux=True)

    def _energy_and_buffers(self, x: Parameters, buffers: Buffers | None) -> tuple[Tensor, Buffers]:
        network = self.network(x, buffers)
        losses = []
        with differentiable_twice(self.fused):
            for inputs, targets in self.batches:
                output = network(*inputs) if isinstance(inputs, tuple | list) else network(inputs)
                losses.append(self.loss(output, targets))
        energy = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
        # Copies, since what torch.utils.checkpoint computes again writes into them again.
        return energy, {name: b.detach().clone() for name, b in network.named_buffers()}


@dataclass(frozen=True, eq=False)
class FunctionObjective:
    """Minimise ``function(x, *data)``, which returns one real number, from x = ``initial``.

    Args:
        function: A function or a module. Every tensor that it needs must be in ``data``: ``Checkpointed``, ``vmap`` and
            the like do not find a tensor that it only closes over.
        initial: x before the first step, a tensor or a tree (dict, tuple) of tensors.
        data: A tuple of tensors or trees, the further arguments.

    Raises:
        MetaoptError: The initial x has no floating tensor, ``data`` is no tuple, or the value is not one finite real
            number.
    """

    function: Callable[..., Tensor]
    initial: Any
    data: tuple[Any, ...] = ()
    fused: bool = field(init=False, repr=False)  # whether the function has attention without second derivatives

    to = tree.to

    def __post_init__(self) -> None:
        if not isinstance(self.data, tuple):
            raise MetaoptError(f"data is a tuple of arguments, not {type(self.data).__name__}; write data=(it,).")
        check_function("The function of a FunctionObjective", self.function, "x", *map(str, range(len(self.data))))
        tensors = tree.leaves(self.initial, modules=False)
        if not tensors or not all(t.is_floating_point() or t.is_complex() for t in tensors):
            raise MetaoptError(
                "A FunctionObjective starts from a floating or complex tensor, or a dict or tuple of them, but initial "
                f"is {type(self.initial).__name__} of {', '.join(tree.describe(t) for t in tensors) or 'no tensor'}."
            )
        object.__setattr__(self, "fused", False)
        if not autodiff.inside_transform():
            who = getattr(self.function, "__name__", type(self.function).__name__)
            substitution.check_hooks(f"the initial x of {who}", tree.named_leaves(self.initial, "x"))
            x = tree.map(lambda t: autodiff.leaf(t.clone(), True), self.initial)
            inputs, given = (dict(tree.named_leaves(t, "x", modules=False)) for t in (x, self.initial))
            with torch.enable_grad(), Reads(inputs.values(), ()) as seen:
                value = substitution.check_energy(who, lambda: self.energy(x))
            substitution.check_kept(who, inputs, given, seen, lambda: self.energy(x))
            object.__setattr__(self, "fused", substitution.fused_attention(value, who, seen.recomputes))

    def start(self) -> Any:
        return self.initial

    def energy(self, x: Any) -> Tensor:
        with differentiable_twice(self.fused):
            return self.function(x, *self.data)

    def gradient(self, x: Any) -> Any:
        """Return the gradient of the energy, which can be differentiated again."""
        return autodiff.gradient(self.energy, x)


def _check_batches(batches: Any) -> tuple[Any, ...]:
    if not isinstance(batches, Iterable) or isinstance(batches, Tensor):
        raise MetaoptError(f"batches is a list of pairs, as in [(inputs, targets)], not {type(batches).__name__}.")
    pairs = tuple(batches)
    if not pairs:
        raise MetaoptError("An Objective needs at least one batch, as in batches=[(inputs, targets)].")
    for number, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise MetaoptError(
                "batches is a list of pairs, as in [(inputs, targets)], but batch "
                f"{number} is {tree.describe(pair) if isinstance(pair, Tensor) else type(pair).__name__}."
            )
        tensors = tree.leaves(pair)
        if not autodiff.inside_transform() and not all(bool(torch.isfinite(t).all()) for t in tensors):
            raise MetaoptError(f"Batch {number} holds values that are NaN or infinite; leave those samples out.")
    return tuple((inputs, targets) for inputs, targets in pairs)


def _learned_names(module: nn.Module) -> tuple[str, ...]:
    if not isinstance(module, nn.Module):
        raise MetaoptError(
            f"An Objective needs a module, not {type(module).__name__}; see FunctionObjective for functions."
        )
    substitution.check_network(module)
    names = tuple(name for name, parameter in module.named_parameters() if parameter.requires_grad)
    if not names:
        raise MetaoptError(
            f"{type(module).__name__} has no parameter that requires grad, so there is nothing to minimise over; "
            "call requires_grad_() on it, or use FunctionObjective."
        )
    return names

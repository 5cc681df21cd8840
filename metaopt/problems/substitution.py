"""Check once, when a problem is made, that its loss can be differentiated with other tensors as parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..arguments.checks import explained
from ..core import MetaoptError, autodiff, tree
from ..foundation.holdings import contents, version
from ..foundation.purity import REENTRANT, Reads, equal, leaves, nodes

Energy = Callable[[dict[str, Tensor]], Tensor]


def check_network(module: nn.Module) -> None:
    """Raise if a parameter has no shape yet, or hooks on its gradient, which are called for ``backward`` alone."""
    if lazy := [name for name, tensor in tree.named_leaves(module) if is_lazy(tensor)]:
        raise MetaoptError(
            f"{type(module).__name__} has a lazy parameter '{lazy[0].lstrip('.')}' without a shape; call it once."
        )
    check_hooks(type(module).__name__, module.named_parameters())


def check_hooks(who: str, named: Iterable[tuple[str, Tensor]]) -> None:
    """Raise if a tensor has hooks on its gradient: other tensors take its place, whose gradients they do not see."""
    for name, tensor in named:
        if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
            raise MetaoptError(
                f"'{name}' of {who} has hooks on its gradient, which would not be called; remove them, and do what "
                "they do to the gradient in the update."
            )


def check_substitution(module: nn.Module, given: Mapping[str, Tensor], energy: Energy) -> bool:
    """Raise if a loss does not see what is put in the place of a module's parameters, or cannot be differentiated.

    Args:
        module: The network.
        given: Tensors by the names of the parameters whose place they take.
        energy: A function of such tensors that returns the loss.

    Returns:
        Whether the loss needs :class:`metaopt.foundation.kernels.Composed`; False under a transform.

    Raises:
        MetaoptError: The module is lazy, reads or writes its own tensors, writes into or keeps what it is given, has
            sparse gradients, or the loss is no finite real number or does not depend on any of ``given``.
    """
    if autodiff.inside_transform():
        return False
    who = type(module).__name__
    inputs = {name: autodiff.leaf(tensor.clone(), True) for name, tensor in given.items()}
    own = [(name, tensor) for name, tensor in module.named_parameters(remove_duplicate=False) if name in given]
    with _restored(module, who), torch.enable_grad():
        with Reads(inputs.values(), own) as seen:
            value = check_energy(who, lambda: energy(inputs))
        check_kept(who, inputs, given, seen, lambda: energy(inputs))
    if torch.is_inference_mode_enabled():
        return False
    if written := [name for name, tensor in inputs.items() if tensor._version]:
        remedy = "as an embedding with max_norm does; leave that out"
        raise MetaoptError(f"The forward pass of {who} writes into its parameter '{written[0]}', {remedy}.")
    reached = set(map(id, leaves([value])))
    unseen = [name for name, parameter in module.named_parameters() if id(parameter) in reached]
    if unseen or seen.found:
        name = seen.found or unseen[0]
        raise MetaoptError(
            f"The loss of {who} reads '{name}' where no other tensor can take its place: by a global name, by an "
            "object that is no module, from a value kept from before, or in the loss; reach it by submodules."
        )
    if not reached.intersection(map(id, inputs.values())):
        raise MetaoptError(f"The loss of {who} does not depend on its parameters, or is detached from them.")
    return fused_attention(value, who, seen.recomputes)


def check_kept(
    who: str, inputs: Mapping[str, Tensor], given: Mapping[str, Tensor], seen: Reads, again: Callable[[], Any]
) -> None:
    """Raise if code wrote unseen into what it was given, or kept what it computed from that and reads it instead.

    Args:
        who: Whose code it is, for errors.
        inputs: The tensors that it was given, by their names.
        given: Tensors that hold the values that ``inputs`` had before.
        seen: What it read.
        again: It once more. What it reads less often than before was kept somewhere, such as in a cache.
    """
    if written := [n for n, tensor in inputs.items() if not version(tensor) and not equal(tensor, given[n])]:
        remedy = "where autograd does not see it, such as by .data; compute a new tensor from it"
        raise MetaoptError(f"The forward pass of {who} writes into its parameter '{written[0]}', {remedy}.")
    with torch.enable_grad(), Reads(inputs.values(), ()) as second:
        again()
    if kept := [name for name, t in inputs.items() if second.counts[id(t)] < seen.counts[id(t)]]:
        raise MetaoptError(
            f"The forward pass of {who} keeps what it computed from '{kept[0]}' in a container, such as a cache, and "
            "reads it again when another tensor has taken its place; compute it anew in each call."
        )


def fused_attention(value: Tensor, who: str, recomputes: bool) -> bool:
    """Tell whether a loss used fused attention or a bag, which :class:`metaopt.foundation.kernels.Composed` avoids.

    Args:
        value: The loss.
        who: What it is the loss of, for errors.
        recomputes: Whether the backward pass computes parts of it again, where that context has ended.

    Raises:
        MetaoptError: It holds a lookup with sparse gradients, or fused attention or a reentrant checkpoint that is
            computed again.
    """
    found = list(nodes([value]))
    names = {node.name() for node in found}
    if "CheckpointFunctionBackward" in names:
        raise MetaoptError(f"{who} uses {REENTRANT}.")
    if any(getattr(node, "_saved_sparse", False) for node in found):
        remedy = "make the embedding with sparse=False"
        raise MetaoptError(f"The gradient of {who} is sparse, and torch cannot differentiate it again; {remedy}.")
    fused = any("ScaledDotProduct" in name or "EmbeddingBag" in name for name in names)
    if fused and recomputes:
        raise MetaoptError(
            f"{who} has fused attention or an EmbeddingBag inside torch.utils.checkpoint, which cannot be "
            "differentiated twice; turn checkpointing off."
        )
    return fused


@contextlib.contextmanager
def _restored(module: nn.Module, who: str) -> Iterator[None]:
    """Raise if the module itself was changed, and give its tensors their values back."""
    before = contents(module)
    values = [(name, t, t.detach().clone()) for name, t in tree.named_leaves(module)]
    yield
    counted = [name for name, held in contents(module).items() if held != before.get(name)]
    changed = [row for row in values if not equal(row[1].detach(), row[2])]
    if written := counted + [name.lstrip(".") for name, *_ in changed]:
        for _, tensor, value in changed:
            tensor.data = value
        raise MetaoptError(
            f"The forward pass of {who} writes into its own '{written[0]}' where a copy should take its place: it "
            "reaches it by a global name or through an object that is no module; reach it by submodules."
        )


def check_energy(who: str, energy: Callable[[], Any]) -> Tensor:
    """Compute the energy once and raise if it is not one finite real number or draws random numbers.

    Later steps run under transforms and in graphs, where values cannot be inspected.

    Returns:
        The energy.
    """
    before = torch.random.get_rng_state()
    with explained(f"The loss of {who} cannot be computed on the data it was given"):
        value = energy()
    if not isinstance(value, Tensor) or value.numel() != 1 or value.is_complex():
        what = tree.describe(value) if isinstance(value, Tensor) else type(value).__name__
        raise MetaoptError(
            f"The loss of {who} must be one real number, but is {what}; sum or average it over the batch."
        )
    if not bool(torch.isfinite(value)):
        raise MetaoptError(
            f"The loss of {who} at its start is {value.item()}; look for NaN in the parameters, buffers and data, or "
            "for a logarithm or a division of zero."
        )
    if not torch.equal(before, torch.random.get_rng_state()):
        raise MetaoptError(
            f"The loss of {who} draws random numbers, so a step could not be repeated; is a Dropout layer in training "
            "mode? Call eval() on it; for Adaptation, which trains on the examples in training mode, leave it out."
        )
    return value


def distinct(batches: Iterable[Any]) -> dict[Any, int]:
    """Return the numbers of the first batches of each combination of shapes and dtypes."""
    found: dict[Any, int] = {}
    for number, batch in enumerate(batches):
        found.setdefault(tuple((t.shape, t.dtype) for t in tree.leaves(batch)), number)
    return found

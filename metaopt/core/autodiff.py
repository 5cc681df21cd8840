"""Differentiate inside a step, which is done nowhere else, and provide the pieces that gradient strategies share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states

from ..foundation.kernels import differentiable_twice
from ..foundation.purity import REENTRANT, Watch, differ, foreign_leaf
from . import tree
from .errors import MetaoptError

Tensors = Sequence[Tensor]
Gradients = Sequence[Tensor | None]


def inside_transform() -> bool:
    """Tell whether code runs under ``torch.func`` (vmap, grad, jvp), where ``torch.autograd.grad`` does not work."""
    return torch._C._functorch.peek_interpreter_stack() is not None  # type: ignore[attr-defined]


def values_known() -> bool:
    """Tell whether tensors have values to inspect, which they lack while torch compiles or exports the code."""
    return not torch.compiler.is_compiling()


def gradient(function: Callable[[Any], Any], x: Any, *, has_aux: bool = False) -> Any:
    """Return the gradient of the scalar ``function(x)`` with respect to every tensor of the tree ``x``.

    It can be differentiated again whenever grad mode is on, works under ``vmap``, and leaves no graph where nothing
    requires grad. Tensors that the function does not use get zeros. The gradient of complex tensors is torch's, along
    which the ascent is steepest. ``x``, which holds no modules, counts by its values alone: every place is a variable
    of its own, also where two places hold one tensor, or one tensor was computed from another.

    Args:
        function: A function of a tree like x that returns one real number.
        x: A tree of tensors.
        has_aux: Whether ``function`` returns a pair of the number and anything else, which is then returned too.

    Returns:
        The gradient, a tree like x; with ``has_aux`` the pair of the gradient and what else the function returned.

    Raises:
        MetaoptError: The function does not return one real number.
    """
    tensors = tree.leaves(x)

    def scalar(inputs: Sequence[Tensor]) -> tuple[Tensor, Any]:
        result = function(tree.fill(x, inputs))
        value, aux = result if has_aux else (result, ())
        if value.numel() != 1 or value.is_complex():
            what = f"it returned {tree.describe(value)}; sum or average it over the batch"
            raise MetaoptError(f"A gradient needs a function with one real value, but {what}.")
        return value.reshape(()) if value.ndim else value, aux

    if not values_known() or inside_transform():  # torch.autograd.grad would break the graph of a compiled step
        with differentiable_twice(inside_transform()):
            grads, aux = torch.func.grad(scalar, has_aux=True)(tensors)
    else:
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            inputs = [t[...] if again and t.requires_grad else leaf(t, True) for t in tensors]
            value, aux = scalar(inputs)
            inner = [i for i in inputs if i.is_leaf]
            again = again and (len(inner) < len(inputs) or foreign_leaf([value], inner) is not None)
            grads = pull_back([value], inputs, [torch.ones_like(value)], create_graph=again)
        for tensor in inner:  # they stay in the graph of the result, but nobody wants their gradients
            tensor.requires_grad_(False)
        grads = [torch.zeros_like(t) if g is None else g for t, g in zip(tensors, grads, strict=True)]
        aux = aux if again else tree.detach(aux)
    return (tree.fill(x, grads), aux) if has_aux else tree.fill(x, grads)


def pull_back(
    outputs: Tensors, inputs: Tensors, cotangents: Gradients, *, create_graph: bool = False, retain_graph: bool = False
) -> list[Tensor | None]:
    """Return the vector-Jacobian product: the cotangents of ``outputs`` pulled back to ``inputs``.

    Args:
        outputs: Tensors that were computed from ``inputs``.
        inputs: The tensors to differentiate with respect to.
        cotangents: One for each output; ``None`` counts as zero.
        create_graph: Whether the result can be differentiated again.
        retain_graph: Whether the graph is kept for another call.

    Returns:
        One tensor for each input; ``None`` where no gradient arrives.
    """
    pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if c is not None and o.requires_grad]
    wanted = [i for i in inputs if i.requires_grad]
    if not pairs or not wanted:
        return [None] * len(inputs)
    (reached, arriving), keep = zip(*pairs, strict=True), create_graph or retain_graph
    try:
        grads = iter(torch.autograd.grad(reached, wanted, arriving, keep, create_graph, allow_unused=True))
    except RuntimeError as error:
        if "use_reentrant=True" not in str(error):
            raise
        raise MetaoptError(f"A step uses {REENTRANT}.") from error
    return [next(grads) if i.requires_grad else None for i in inputs]


def leaf(tensor: Tensor, requires_grad: bool | None = None) -> Tensor:
    """Return a detached leaf with the values of ``tensor``, which by default requires grad if ``tensor`` does."""
    wanted = tensor.requires_grad if requires_grad is None else requires_grad
    return tensor.detach().requires_grad_(wanted and (tensor.is_floating_point() or tensor.is_complex()))


def check_captured(outputs: Iterable[Tensor], allowed: Iterable[Tensor], who: str, given: Any = ()) -> None:
    """Raise if the graph of ``outputs`` reaches a leaf that is not in ``allowed``, the copies of those in ``given``."""
    if (found := foreign_leaf(outputs, allowed)) is not None:
        own = [name for name, t in tree.named_leaves(given, "given") if t is found]
        cause = "is neither a parameter of the algorithm nor part of the problem"
        if own:  # of (algorithm, problem, state), by its name in one of them
            cause = f"is read past the module that has it as '{own[0].split('.', 1)[-1]}', as by a global name"
        raise MetaoptError(
            f"{who} recomputes its steps, and they use a tensor {tree.describe(found)} that requires grad but {cause}, "
            "so it would silently get no gradient; make it a slot or a field of the problem, or use Backprop()."
        )


@contextlib.contextmanager
def repeatable(who: str, trees: tuple[Any, ...], *, draws: bool) -> Iterator[None]:
    """Raise if code in the context changes what steps read besides their state, so that they would not repeat.

    Args:
        who: The name of the strategy.
        trees: The algorithm, the problem and the state.
        draws: Whether the code may draw from torch's global generators.
    """
    module, problem, state = trees
    watch = Watch(module, problem, lambda: tree.named_leaves(problem, "problem") + tree.named_leaves(state, "state"))
    yield
    if (does := watch.change(draws)) is not None:
        raise MetaoptError(f"{who} repeats steps, but step of {type(module).__name__} {does}, or use Backprop().")


def check_repeated(again: Tensors, first: Tensors, who: str) -> None:
    """Raise if ``again`` is not what the same steps gave ``first``."""
    if differ(again, first):
        cause = "it draws from a generator of its own, NumPy or Python's random, counts, or asks for requires_grad"
        raise MetaoptError(f"{who} repeated a step and got another result: {cause}; use Backprop(), or streams by k.")


def refuse_transform(who: str) -> None:
    """Raise under ``torch.func`` transforms, which do not allow custom backward passes."""
    if inside_transform():
        raise MetaoptError(f"{who} has a backward pass of its own, which vmap and torch.func refuse; use Backprop().")


Pass = Callable[..., Gradients]


class _Custom(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forward: Pass, backward: Pass, who: str | None, *tensors: Tensor) -> Any:
        with torch.enable_grad():  # the steps may themselves call autograd.grad
            outputs = tuple(o.detach() for o in forward(tensors) if o is not None)
        ctx.walk_back, ctx.count, ctx.who = backward, len(tensors), who
        device = tensors[0].device.type  # what is recomputed must be computed in the same precision
        ctx.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        ctx.save_for_backward(*tensors, *outputs)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        if ctx.who and torch.is_grad_enabled():
            raise MetaoptError(f"{ctx.who} gives first derivatives only; for create_graph=True use Checkpointed().")
        saved = ctx.saved_tensors
        with torch.autocast(*ctx.autocast):
            return None, None, None, *ctx.walk_back(saved[: ctx.count], saved[ctx.count :], cotangents)


def custom(forward: Pass, backward: Pass, tensors: Sequence[Tensor], once: str | None = None) -> list[Tensor]:
    """Return ``forward(tensors)`` with a custom backward pass ``backward(tensors, outputs, cotangents)``.

    Args:
        forward: A function from tensors to tensors.
        backward: A function that returns one gradient, or ``None``, for each of ``tensors``.
        tensors: The tensors that gradients go to.
        once: The name of a strategy whose backward pass cannot be differentiated again; ``None`` if it can.
    """
    return list(_Custom.apply(forward, backward, once, *tensors))


def recompute(function: Callable[..., Any], who: str, *trees: Any) -> Any:
    """Return ``function(*trees)`` without keeping its intermediate tensors; the backward pass computes them again.

    Args:
        function: A function of trees that returns a tree.
        who: The name of the strategy, for error messages.
        trees: The arguments of the function: an algorithm, a problem and a state.

    Raises:
        MetaoptError: The function uses a tensor that requires grad and is not in ``trees``, or gives something else
            when it is repeated.
    """
    tensors, rebuild = tree.partition(trees)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)):
        result = function(*trees)
        check_captured(tree.leaves(result), (), who)
        return result
    structure: list[Any] = []
    (devices, states), before = get_device_states(*tensors), torch.get_rng_state()

    def forward(tensors: Sequence[Tensor]) -> list[Tensor]:
        there = rebuild(inputs := [leaf(t) for t in tensors])
        with repeatable(who, there, draws=True):
            outputs, _ = tree.partition(result := function(*there))
        check_captured(outputs, inputs, who, trees)
        structure[:] = [result]
        return outputs

    def backward(tensors: Sequence[Tensor], first: Tensors, cotangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        again = torch.is_grad_enabled()
        with torch.enable_grad(), torch.random.fork_rng(devices):
            torch.set_rng_state(before)  # what is drawn from the global generators is drawn again
            set_device_states(devices, states)
            inputs = [t.view_as(t) if again and t.requires_grad else leaf(t) for t in tensors]
            outputs, _ = tree.partition(function(*rebuild(inputs)))
        check_repeated(outputs, first, who)
        return pull_back(outputs, inputs, cotangents, create_graph=again)

    results = custom(forward, backward, tensors)
    return tree.partition(structure.pop())[1](results)  # popped, or the backward pass would keep the graph alive

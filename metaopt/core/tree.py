"""Trees are tensors inside tuples, lists, dicts, dataclasses and modules, treated as one flat list of tensors.

Problems, states and algorithms are trees. A leaf is a tensor; whatever is neither a tensor nor a container (a number, a
callable, ``None``) is static and stays as it is. Containers are rebuilt without calling their constructors, so that
checks on values run once, when the user makes the object, and never under a transform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..foundation import precision, shadows
from ..foundation.assigning import removed
from ..foundation.changes import changed, outdated
from ..foundation.changes import relative_change as relative_change
from ..foundation.changes import same as same
from ..foundation.holdings import version as version
from ..foundation.kernels import differentiable_twice
from ..foundation.purity import repeating_refused
from ..foundation.words import describe as describe
from .errors import MetaoptError

Tree = TypeVar("Tree")
Place = torch.device | torch.dtype | Tensor | str | None  # what Tensor.to takes first


def map(function: Callable[..., Any], tree: Tree, *others: Any) -> Tree:
    """Apply ``function`` to every tensor of ``tree`` and to the tensors at the same place in ``others``.

    Modules are rebuilt as shadows that share everything with the original except parameters and buffers; tied
    parameters stay tied. With ``others`` modules are static, and must be the same in every tree.

    Args:
        function: A function of as many tensors as there are trees.
        tree: The tree whose structure the result has.
        others: Further trees of the same structure.

    Raises:
        MetaoptError: The trees hold different modules.
    """
    memo: dict[int, Any] = {}
    result = _map(function, tree, others, lambda module: shadows.shadow(lambda _, t: function(t), module, "", memo))
    shadows.connect(memo)
    return result


def _map(function: Callable[..., Any], tree: Any, others: Sequence[Any], shadow: Callable[..., Any]) -> Any:
    if isinstance(tree, Tensor):
        return function(tree, *others)
    if isinstance(tree, dict):
        return {key: _map(function, value, [o[key] for o in others], shadow) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        items = [_map(function, item, rest, shadow) for item, *rest in zip(tree, *others, strict=True)]
        return getattr(tree, "_make", type(tree))(items)
    if isinstance(tree, nn.Module):
        if any(other is not tree for other in others):
            raise MetaoptError(f"Trees are joined only if they hold the same {type(tree).__name__}, not two of them.")
        return tree if others else shadow(tree)
    if (names := _fields(tree)) is not None:
        rows = [(getattr(tree, name), [getattr(other, name) for other in others]) for name in names]
        return replace(tree, {n: _map(function, *row, shadow) for n, row in zip(names, rows, strict=True)})
    return tree


def replace(dataclass: Tree, changes: Mapping[str, Any]) -> Tree:
    """Return a copy of a dataclass with other values of the named fields, without running its constructor and checks.

    Fields that the constructor derives from others stay as they are: name them too, or call the constructor. Those
    with ``metadata={"derived_from": (...)}`` get their default, unless they are named, where one of these is changed.

    Args:
        dataclass: An instance of a dataclass.
        changes: The new values by field.

    Raises:
        MetaoptError: It is no dataclass, or has no field of such a name.

    Example:
        >>> tree.replace(problem, {"y": y})
    """
    if (names := _fields(dataclass)) is None:
        raise MetaoptError(f"tree.replace changes fields of a dataclass, not of a {type(dataclass).__name__}.")
    if unknown := [name for name in changes if name not in names]:
        known = ", ".join(names) or "none"
        raise MetaoptError(f"{type(dataclass).__name__} has no field {unknown[0]!r}; its fields are {known}.")
    new, values = object.__new__(type(dataclass)), {**outdated(dataclass, changes), **changes}
    for name in names:
        object.__setattr__(new, name, values[name] if name in values else getattr(dataclass, name))
    return new


def _fields(tree: Any) -> list[str] | None:
    """The names of a dataclass's fields; ``None`` of what is no instance of one."""
    return [f.name for f in fields(tree)] if is_dataclass(tree) and not isinstance(tree, type) else None


def substitute(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return a shadow of ``module`` with ``tensors``, named as in its ``state_dict``, in the place of its own.

    Tied tensors and modules stay tied: the first of their names counts.
    """
    memo: dict[int, Any] = {}
    shadow = shadows.shadow(lambda name, tensor: tensors.get(name, tensor), module, "", memo)
    shadows.connect(memo)
    return shadow


def named_leaves(tree: Any, name: str = "", *, modules: bool = True) -> list[tuple[str, Tensor]]:
    """Return every tensor of ``tree`` with its path, in a fixed order; tied tensors appear once for each place.

    Args:
        tree: The tree.
        name: The path of the tree itself.
        modules: Whether the tensors inside modules count.
    """
    if isinstance(tree, Tensor):
        return [(name, tree)]
    if isinstance(tree, nn.Module):
        kinds = (tree.named_parameters, tree.named_buffers) if modules else ()
        return [(f"{name}.{n}", t) for kind in kinds for n, t in kind(remove_duplicate=False)]
    children: list[tuple[str, Any]] = []
    if isinstance(tree, dict):
        children = [(f"{name}[{key!r}]", value) for key, value in tree.items()]
    elif isinstance(tree, tuple) and (names := getattr(tree, "_fields", None)):
        children = [(f"{name}.{n}", v) for n, v in zip(names, tree, strict=True)]
    elif isinstance(tree, tuple | list):
        children = [(f"{name}[{i}]", value) for i, value in enumerate(tree)]
    elif (names := _fields(tree)) is not None:
        children = [(f"{name}.{n}", getattr(tree, n)) for n in names]
    return [leaf for path, child in children for leaf in named_leaves(child, path, modules=modules)]


def leaves(tree: Any, *, modules: bool = True) -> list[Tensor]:
    """Return every tensor of ``tree``, in a fixed order; ``modules`` says whether those inside modules count."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, tuple | list):  # the hot path, without names
        return [leaf for child in tree for leaf in leaves(child, modules=modules)]
    return [tensor for _, tensor in named_leaves(tree, modules=modules)]


def partition(tree: Tree, *, modules: bool = True) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Tree]]:
    """Split ``tree`` into its distinct tensors and a function that puts others in their place.

    With ``modules=False`` modules are static: their parameters stay where they are (what ``vmap`` needs).
    """
    tree = map(lambda t: t, tree)  # as it is now: functional_call puts a module's parameters back after the call
    tensors = list({id(t): t for t in leaves(tree, modules=modules)}.values())

    def rebuild(replacements: Sequence[Tensor]) -> Tree:
        table = {id(old): new for old, new in zip(tensors, replacements, strict=True)}
        return map(lambda t: table.get(id(t), t), tree)

    return tensors, rebuild


def vmap(function: Callable[..., Any]) -> Callable[..., Any]:
    """Map ``function`` over the leading axis of every tensor in its arguments, which may be trees.

    Tensors inside modules are not mapped: all tasks share them, and what a network assigns to itself is there again as
    it was afterwards. The result may be any tree. What ``torch.func.vmap``
    refuses, such as an LSTM, running statistics, random numbers, hooks on gradients or ``torch.utils.checkpoint``, is
    computed one after another.

    Raises:
        MetaoptError: The tensors have no common leading axis.
    """

    def mapped(*trees: Any) -> Any:
        tensors, rebuild = partition(trees, modules=False)
        lengths = {tuple(t.shape[:1]) for t in tensors}
        if len(lengths) != 1 or lengths == {()}:
            shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in named_leaves(trees, "arguments", modules=False))
            raise MetaoptError(f"vmap needs one common leading axis, but got {shapes or 'no tensor at all'}.")
        rebuild_result: list[Callable[[Sequence[Tensor]], Any]] = []

        def inner(*mapped_tensors: Tensor) -> tuple[Tensor, ...]:
            result, put_back = partition(function(*rebuild(mapped_tensors)), modules=False)
            rebuild_result[:] = [put_back]
            return tuple(result)

        try:
            with differentiable_twice(torch.is_grad_enabled()), repeating_refused(), removed(function, trees):
                results = torch.func.vmap(inner)(*tensors)
        except RuntimeError:  # vmap has no rule for something; an error of the function itself comes again
            return stack([function(*rebuild(row)) for row in zip(*tensors, strict=True)])
        return rebuild_result[0](results)

    return mapped


def stack(trees: Sequence[Tree]) -> Tree:
    """Stack the tensors of ``trees`` along a new leading axis, which gives one tree.

    Raises:
        MetaoptError: There is no tree.
    """
    if not trees:
        raise MetaoptError("stack needs at least one tree.")
    return map(lambda *tensors: torch.stack(tensors), trees[0], *trees[1:])


def to(tree: Tree, device: Place = None, dtype: torch.dtype | None = None) -> Tree:
    """Move ``tree`` to ``device`` and its floating tensors to ``dtype``, complex ones to the matching complex dtype.

    Args:
        tree: The tree.
        device: The device. As in ``Tensor.to``, a dtype may stand here alone, or a tensor whose device and dtype hold.
        dtype: A floating dtype.

    Raises:
        MetaoptError: These are no device and no floating dtype.
    """
    return map(precision.mover(device, dtype), tree)


def fill(tree: Tree, tensors: Iterable[Tensor]) -> Tree:
    """Return ``tree`` (without modules) with its tensors replaced, place by place, in the order of :func:`leaves`."""
    source = iter(tensors)
    return map(lambda _: next(source), tree)


def detach(tree: Tree) -> Tree:
    """Return ``tree`` detached from the graph."""
    return map(lambda t: t.detach(), tree)


def batch_of(tree: Any) -> int:
    """Return the length of the first axis of the first tensor that has one; 1 if none has."""
    return next((len(t) for t in leaves(tree) if t.ndim), 1)


def check_unchanged(before: Any, after: Any, who: str, k: int, method: str = "step") -> None:
    """Raise if ``after`` differs from ``before`` in structure, shapes or dtypes: a state must keep all three."""
    if not same(before, after) and (what := changed(named_leaves(before, "state"), named_leaves(after, "state"), k)):
        raise MetaoptError(f"{method} of {who} changed {what}.")

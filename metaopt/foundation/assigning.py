"""Keep what a module assigns to its buffers where it runs with the tensors of a stack, and take away what vmap left."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .errors import MetaoptError
from .shadows import OWN, has_value
from .words import describe

_torch: Any = torch  # of which type checkers do not know all
_wrapped = _torch._C._functorch.is_functorch_wrapped_tensor
STORES = ("_parameters", "_buffers")


@contextlib.contextmanager
def assigned(lock: Any, named: Mapping[str, Tensor], keep: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Hold ``lock``, and call ``keep`` with the name and the tensor of each of ``named`` that was replaced meanwhile.

    Args:
        lock: A lock.
        named: Tensors by name, among which ``functional_call`` puts those that the module assigned.
        keep: A function of a name and its new tensor.
    """
    with lock:
        before = dict(named)
        yield
        for name, tensor in named.items():
            if tensor is not before[name]:
                keep(name, tensor)


def assign(slot: nn.Module, places: Mapping[str, int], k: int, name: str, tensor: Tensor) -> None:
    """Replace a buffer of the module of step ``k`` in the stacked buffers of a slot, without writing into these.

    Args:
        slot: The slot.
        places: The numbers of its tensors by the names that they have in a module.
        k: The step.
        name: The name of the buffer in the module.
        tensor: Its new value.

    Raises:
        MetaoptError: It is a parameter, or of another shape or dtype.
    """
    names = [n for n, t in (*slot._parameters.items(), *slot._buffers.items()) if t is not None]
    stack = slot._buffers.get(names[places[name]])
    if stack is None or stack[k].shape != tensor.shape or stack.dtype != tensor.dtype:
        what = "a parameter" if stack is None else f"a buffer {describe(stack[k])}"
        raise MetaoptError(
            f"The module of step {k} of a slot assigns {describe(tensor)} to '{name}' in its forward pass, which is "
            f"{what} that is stacked with those of other steps; keep it in the state, or in a plain attribute."
        )
    rows = stack.clone()
    rows[k] = tensor
    slot._buffers[names[places[name]]] = rows


@contextlib.contextmanager
def removed(function: Any, trees: tuple[Any, ...]) -> Iterator[None]:
    """Take away what a transform of ``function`` leaves in modules: their attributes have again what they had before.

    Such tensors are those that a network assigns to itself, to go on from them or to show them. They are taken out of
    lists and dicts.

    Args:
        function: The function: a module, a method of one, or one that closes over some.
        trees: Its arguments, some of which may be modules.
    """
    if torch.compiler.is_compiling():
        yield
        return
    parts = [part for module in _modules(function, trees) for part in module.modules()]
    held_by = [vars(part) for part in parts if STORES[0] in vars(part)]  # scripted ones hold nothing there
    places = held_by + [each[name] for each in held_by for name in STORES]
    before = [(place, dict(place)) for place in places]
    try:
        yield
    finally:
        for place, held in before:
            for name, value in [item for item in place.items() if item[0] not in OWN]:
                if value is not held.get(name, place) and _is_left(value):
                    place.pop(name)
                    if name in held:
                        place[name] = held[name]
                elif isinstance(value, list) and any(map(_is_left, value)):
                    value[:] = [item for item in value if not _is_left(item)]
                elif type(value) is dict and any(map(_is_left, value.values())):
                    for key in [key for key, item in value.items() if _is_left(item)]:
                        del value[key]


def _is_left(value: Any) -> bool:
    return isinstance(value, Tensor) and _wrapped(value)


def _modules(function: Any, trees: tuple[Any, ...]) -> list[nn.Module]:
    """The modules that a function is, belongs to, closes over or gets."""
    cells = function.__closure__ or () if isinstance(function, types.FunctionType) else ()
    held = [cell.cell_contents for cell in cells if has_value(cell)]
    return [m for m in (function, getattr(function, "__self__", None), *held, *trees) if isinstance(m, nn.Module)]

"""Describe all that a module holds, so that two descriptions tell what code has changed between them."""

from __future__ import annotations

import functools
import itertools
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .shadows import DEPTH, HOOKS, LAZY, OWN, PLAIN, has_value, slotted

EQUAL = PLAIN | {complex, bytes, range, torch.dtype, torch.device}  # what is compared by its value
NUMBERS = frozenset({bool, int, float, str})
# What is followed where a function reads it from outside; a list there is mostly a record for a person to read.
FOLLOWED = (Tensor, nn.Module, types.FunctionType, types.MethodType, functools.partial)
CONTAINERS = (dict, list, tuple, set, frozenset, deque, bytearray)
BUDGET = 10_000  # objects that are looked into; of others only the identity counts
LONG = 1_000  # entries of a container that are looked into
LARGE = 2**24  # bytes of an array that are compared
FOREIGN = frozenset({"torch", "metaopt", "numpy", "builtins"}) | sys.stdlib_module_names  # their code keeps its word


class Holdings:
    """This describes every attribute of a module and of its submodules, by name.

    Numbers and text are described by their values, tensors by their identity and by how often they were written into,
    containers, functions and objects by what they hold. Numbers, tensors and modules that methods and hooks read
    from outside count as well, and so do numbers and tensors of the classes. Left out are values of
    ``functools.cached_property`` and the weights that torch's old hooks compute anew at every call.

    Args:
        module: The module.
        problem: Other objects that may hold modules.

    ``named`` has the descriptions. They hold only as long as this object, which keeps what is described alive.
    """

    def __init__(self, module: nn.Module, problem: Any = None):
        self._alive: list[Any] = []
        self._seen: set[int] = set()
        self.named: dict[str, Any] = self._module(module)
        outside = [] if isinstance(problem, nn.Module | Tensor) else list(_entries(problem))
        for name, value in outside or [("", problem)]:
            self.named[f"problem.{name}".rstrip(".")] = self._of(value, 0)

    def _module(self, module: nn.Module) -> dict[str, Any]:
        found = contents(module)
        parts = list(module.named_modules())
        self._seen.update(id(part) for _, part in parts)
        for path, part in parts:
            self._alive += [part, *part._parameters.values(), *part._buffers.values()]
            if isinstance(part, torch.jit.ScriptModule):
                continue
            dot = f"{path}." if path else ""
            computed = {getattr(h, n, None) for h in part._forward_pre_hooks.values() for n in ("name", "_tensor_name")}
            for name, value in vars(part).items():
                own = name in OWN and not (name in HOOKS and value)
                if not own and name not in computed and not _cached(type(part), name):
                    found[dot + name] = self._of(value, 0)
            found |= self._class(type(part))
        return found

    def _class(self, kind: type) -> dict[str, Any]:
        """What the classes of a module hold, and what their methods read from outside."""
        found: dict[str, Any] = {}
        for parent in kind.__mro__:
            if parent.__module__.split(".")[0] in FOREIGN or id(parent) in self._seen:
                continue
            self._seen.add(id(parent))
            for name, value in vars(parent).items():
                path = f"{parent.__name__}.{name}"
                if isinstance(value, types.FunctionType):
                    found[f"what {path} reads from outside"] = self._of(value, 0)
                elif not name.startswith("__") and (type(value) in PLAIN or isinstance(value, Tensor)):
                    found[path] = self._of(value, 0)
        return found

    def _of(self, value: Any, depth: int) -> Any:
        if type(value) in EQUAL:
            return type(value), value if value == value else "nan"
        if isinstance(value, Tensor):
            self._alive.append(value)
            return mark(value)
        if type(value) is tuple and EQUAL.issuperset(map(type, value)):  # such as the shape of a kernel
            return value
        if id(value) in self._seen or len(self._seen) > BUDGET:
            self._alive.append(value)
            return id(value)
        self._seen.add(id(value))
        self._alive.append(value)
        if isinstance(value, CONTAINERS):
            return self._container(value, depth)
        if isinstance(value, nn.Module):
            return id(value), self._module(value)
        if (state := _drawn(value)) is not None:
            return id(value), state
        if type(value).__module__ == "numpy" and hasattr(value, "tobytes"):
            content = hash(value.tobytes()) if value.nbytes <= LARGE else id(value)
            return str(value.dtype), value.shape, content
        held = self._parts(value) if depth < DEPTH else ()
        return id(value), {name: self._of(item, depth + 1) for name, item in held}

    def _container(self, value: Any, depth: int) -> Any:
        keys = tuple(value) if isinstance(value, dict | set | frozenset) else ()
        items = tuple(value.values() if isinstance(value, dict) else () if keys else value)
        self._alive.append((keys, items))
        known = tuple(key if type(key) in EQUAL else id(key) for key in keys)
        held = tuple(map(id, items)) if len(items) > LONG else tuple(self._of(item, depth) for item in items)
        own = None if isinstance(value, tuple) else id(value)
        return own, frozenset(known) if isinstance(value, set | frozenset) else known, held

    def _parts(self, value: Any) -> Iterator[tuple[str, Any]]:
        """What is held by a function or an object, by names."""
        if isinstance(value, types.FunctionType):
            yield from _of_function(value)
        elif isinstance(value, types.MethodType):
            yield from (("self", value.__self__), ("function", value.__func__))
        elif isinstance(value, functools.partial):
            yield from (("function", value.func), ("inputs", value.args), ("keywords", value.keywords))
        elif isinstance(value, types.GeneratorType):
            yield "locals", dict(value.gi_frame.f_locals) if value.gi_frame else None
        elif not isinstance(value, type | types.ModuleType | weakref.ReferenceType):
            yield from _entries(value)


def _of_function(value: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function closes over, its defaults, and what may change of what it reads by a global name."""
    if (inner := getattr(value, "_torchdynamo_orig_callable", None)) is not None:
        yield "compiled", inner  # of what torch compiled only this is the user's
        return
    if (value.__module__ or "").split(".")[0] in FOREIGN:
        return
    yield from (("defaults", value.__defaults__), ("keywords", value.__kwdefaults__))
    code, cells = value.__code__, value.__closure__ or ()
    outside = {name: value.__globals__.get(name) for name in code.co_names}
    outside |= {name: cell.cell_contents for name, cell in zip(code.co_freevars, cells, strict=True) if has_value(cell)}
    yield from ((n, v) for n, v in outside.items() if type(v) in PLAIN or isinstance(v, FOLLOWED))


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object, of a class that is neither Python's nor torch's, without what is only cached."""
    if type(value).__module__.split(".")[0] not in FOREIGN - {"metaopt"}:
        held = {**getattr(value, "__dict__", {}), **slotted(value)}
        yield from ((name, item) for name, item in held.items() if not _cached(type(value), name))


def _cached(kind: type, name: str) -> bool:
    return isinstance(getattr(kind, name, None), functools.cached_property)


def _drawn(value: Any) -> Any:
    """Where a generator of random numbers or a counter is; ``None`` of anything else."""
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, itertools.count):
        return repr(value)
    if hasattr(type(value), "__length_hint__"):  # an iterator over a list
        return value.__length_hint__()
    if type(value).__module__.startswith("numpy.random"):
        state = getattr(value, "bit_generator", None) or getattr(value, "_bit_generator", value)
        return repr(getattr(state, "state", None))
    return None


def contents(module: nn.Module) -> dict[str, Any]:
    """Return what tells whether ``module`` was changed: its numbers, and which tensors it holds, written how often.

    torch writes running statistics without counting it, so one-dimensional buffers are summed as well.
    """
    found: dict[str, Any] = {}
    for path, part in module.named_modules():
        dot = f"{path}." if path else ""
        numbers = {dot + n: v for n, v in vars(part).items() if type(v) in NUMBERS and n not in OWN}
        found |= {name: value if value == value else "nan" for name, value in numbers.items()}
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None and type(tensor) not in LAZY:
                running = tensor.ndim == 1 and not tensor.requires_grad and tensor.is_floating_point()
                found[dot + name] = *mark(tensor), str(float(tensor.sum())) if running else ""
    return found


def version(tensor: Tensor) -> int:
    """Return how many times ``tensor`` was written into; 0 in inference mode, which does not count."""
    return 0 if tensor.is_inference() else tensor._version


def mark(tensor: Tensor) -> tuple[int, int, int]:
    """Return which tensor it is, how many times it was written into, and where it is, which ``.data = ...`` changes."""
    try:
        return id(tensor), version(tensor), tensor.data_ptr()
    except RuntimeError:  # what has no place, such as a sparse tensor
        return id(tensor), version(tensor), 0

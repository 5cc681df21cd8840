"""Copy modules with other tensors in their places, while all else is shared.

A shadow is such a copy. Networks also reach their parameters past their submodules: by a list or a dict of layers, a
function that closes over one, a bound method, a hook, a compiled form. So whatever a shadow holds that refers to a
module or a tensor of the original is copied as well, and refers to the shadow.
"""

from __future__ import annotations

import collections
import copy
import functools
import types
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from .errors import MetaoptError

OWN = frozenset(vars(nn.Module()))  # the attributes that every module has
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
HELD = frozenset(
    {types.FunctionType, types.MethodType, functools.partial, list, tuple, dict, set, OrderedDict, defaultdict}
)
Module = TypeVar("Module", bound=nn.Module)
DEPTH = 3  # of objects in objects that are searched
LAZY = frozenset({UninitializedParameter, UninitializedBuffer})
PLAIN = frozenset({bool, int, float, str, type(None)})


def shadow(pick: Callable[[str, Tensor], Any], module: nn.Module, prefix: str, memo: dict[int, Any]) -> nn.Module:
    """Return a copy of ``module`` whose tensors are ``pick`` of the original's names and tensors.

    Args:
        pick: A function of the name and the tensor.
        module: The original.
        prefix: What its names begin with.
        memo: Copies by the identity of their originals. It gains those of this module, which :func:`connect` connects.

    Raises:
        MetaoptError: ``torch.jit`` compiled a module that has parameters, or a parameter is lazy.
    """
    if id(module) in memo:
        return memo[id(module)]
    if isinstance(module, torch.jit.ScriptModule):
        return _scripted(module, prefix)
    made = memo[id(module)] = object.__new__(type(module))
    new = made.__dict__  # filled directly, because a module looks at every attribute that it is given
    new.update(module.__dict__)
    for kind in ("_parameters", "_buffers"):
        for name, tensor in new[kind].items():
            if tensor is not None and id(tensor) not in memo:
                if type(tensor) in LAZY:
                    raise MetaoptError(
                        f"The parameter '{prefix}{name}' is lazy and has no shape yet; call the network once."
                    )
                memo[id(tensor)] = pick(prefix + name, tensor)
        new[kind] = {n: None if t is None else memo[id(t)] for n, t in new[kind].items()}
    children = new["_modules"].items()
    new["_modules"] = {n: None if m is None else shadow(pick, m, f"{prefix}{n}.", memo) for n, m in children}
    return made


def _scripted(module: nn.Module, prefix: str) -> nn.Module:
    if (name := next((n for n, _ in module.named_parameters()), None)) is None:
        return module
    raise MetaoptError(
        f"torch.jit compiled {type(module).__name__} and keeps '{prefix}{name}' out of reach, so no other tensor can "
        "take its place; pass the module that was scripted or traced."
    )


def connect(memo: dict[int, Any]) -> None:
    """Let the copies refer to one another wherever their originals do.

    What was compiled refers to its original by what the compiler made of it, so a copy runs as it was written.

    Args:
        memo: Copies by the identity of their originals, as :func:`shadow` or ``copy.deepcopy`` leaves them.
    """
    done: set[int] = set()
    while pending := [m for m in memo.values() if isinstance(m, nn.Module) and id(m) not in done]:
        known = len(memo) + len(pending)
        for made in pending:
            memo[id(made)] = made
        done.update(map(id, pending))
        for made in pending:
            new = made.__dict__
            for name in new.keys() - OWN:
                new[name] = _connected(new[name], memo)
            for name in HOOKS:
                if new.get(name):
                    new[name] = _connected(new[name], memo)
            new.pop("_compiled_call_impl", None)
        if len(memo) == known:
            return


def deepcopy(module: Module) -> Module:
    """Return a deep copy of a module, in which what refers to a module or tensor of the original refers to the copy.

    Raises:
        MetaoptError: It holds a tensor with a history, which has no copy.
    """
    memo: dict[int, Any] = {}
    try:
        new = copy.deepcopy(module, memo)
    except RuntimeError as error:
        what = (
            f"{type(module).__name__} cannot be copied, since it holds a tensor that was computed from its parameters"
        )
        raise MetaoptError(f"{what}, as the old weight_norm does once it was called; copy it before.") from error
    connect(memo)
    return new


def _connected(value: Any, memo: dict[int, Any], depth: int = 0) -> Any:
    """What ``value`` is where originals are replaced by their copies; the same object if it refers to none."""
    if type(value) in PLAIN or type(value) in weakref.ProxyTypes:  # a proxy does not tell what it stands for
        return value
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, nn.Module) and not isinstance(value, torch.jit.ScriptModule):
        return shadow(lambda _, tensor: tensor, value, "", memo)  # it is not registered, but may hold one that is
    if type(value) not in HELD and not (isinstance(value, tuple) and hasattr(value, "_make")):
        return _replaced(value, memo, depth)
    memo[id(value)] = value  # it may hold itself
    new = memo[id(value)] = _rebuilt(value, memo, depth)
    return new


def _replaced(value: Any, memo: dict[int, Any], depth: int) -> Any:
    """An object of another kind; not all of what it holds is searched, for it may lead to all that a program has."""
    if isinstance(value, weakref.ref):
        target = value()
        return weakref.ref(memo[id(target)]) if target is not None and id(target) in memo else value
    if depth == DEPTH or isinstance(value, type | types.ModuleType | Tensor | torch.jit.ScriptModule):
        return value
    memo[id(value)] = value
    held = {**getattr(value, "__dict__", {}), **slotted(value)}
    changed = {name: new for name, item in held.items() if (new := _connected(item, memo, depth + 1)) is not item}
    items = list(value) if isinstance(value, list | collections.deque) else []
    inside = [_connected(item, memo, depth + 1) for item in items]
    if not changed and all(new is old for new, old in zip(inside, items, strict=True)):
        return value
    made = memo[id(value)] = copy.copy(value)
    for name, new in changed.items():
        object.__setattr__(made, name, new)  # past the guard of a frozen dataclass
    if inside:
        made.clear()
        made.extend(inside)
    return made


def slotted(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that has ``__slots__``."""
    found = {}
    for kind in type(value).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else tuple(names):
            if isinstance(vars(kind).get(name), types.MemberDescriptorType) and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _rebuilt(value: Any, memo: dict[int, Any], depth: int) -> Any:
    if isinstance(value, dict):
        items = {key: _connected(item, memo, depth) for key, item in value.items()}
        if all(items[key] is item for key, item in value.items()):
            return value
        new = value.copy()
        new.update(items)
        return new
    if isinstance(value, list | tuple | set):
        items = [_connected(item, memo, depth) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else getattr(value, "_make", type(value))(items)
    if (inner := getattr(value, "_torchdynamo_orig_callable", None)) is not None:
        return value if (new := _connected(inner, memo, depth)) is inner else new
    if isinstance(value, types.MethodType):
        owner = _connected(value.__self__, memo, depth)
        return value if owner is value.__self__ else types.MethodType(value.__func__, owner)
    if isinstance(value, functools.partial):
        parts = (value.func, value.args, value.keywords)
        function, inputs, keywords = (_connected(part, memo, depth) for part in parts)
        same = function is value.func and inputs is value.args and keywords is value.keywords
        return value if same else type(value)(function, *inputs, **keywords)
    return _function(value, memo, depth)


def _function(value: types.FunctionType, memo: dict[int, Any], depth: int) -> types.FunctionType:
    """A function that closes over copies, and has them as defaults."""
    cells = value.__closure__ or ()
    old = [*(c.cell_contents for c in cells if has_value(c)), value.__defaults__, value.__kwdefaults__]
    *closed, defaults, keywords = new = [_connected(part, memo, depth) for part in old]
    if all(a is b for a, b in zip(new, old, strict=True)):
        return value
    filled = iter(closed)
    places = tuple(types.CellType(next(filled)) if has_value(cell) else cell for cell in cells)
    made = types.FunctionType(value.__code__, value.__globals__, value.__name__, defaults, places or None)
    made.__kwdefaults__ = keywords
    made.__dict__.update(value.__dict__)
    return made


def has_value(cell: types.CellType) -> bool:
    """Tell whether the variable of a closure has a value yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True

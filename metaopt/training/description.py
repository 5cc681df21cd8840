"""Describe objects and functions by names, numbers and digests, the same in every process and working folder."""

from __future__ import annotations

import contextlib
import copyreg
import dataclasses
import datetime
import dis
import enum
import functools
import hashlib
import json
import math
import numbers
import random
import types
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.tree import describe
from ..records import RECORD

LONGEST = 32  # items of a list or characters in ten of a text that are kept as they are
DEEPEST = 24
LARGEST = 2**26  # elements of an array, of which more are sampled
LIBRARIES = frozenset({"metaopt", "torch", "numpy", "scipy", "builtins", "math", "functools", "operator"})
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)  # whose state moves on
MODULE = frozenset(vars(nn.Module()))  # hooks and the like, which every module has


class Descriptions:
    """Describe values by mappings, lists, texts and numbers, which JSON can hold.

    Objects are described by their class and what they hold: dataclasses by their fields (but for those with
    ``compare=False``), others by what they would be pickled by. Functions are described by their name, and those of the
    user also by a digest of their code, their defaults and the variables that they read.

    Args:
        trained: Whether it is a network that is described, whose parameters and buffers count by shape alone.
    """

    def __init__(self, trained: bool = False):
        self.trained = trained
        self.known: dict[int, tuple[Any, Any]] = {}  # with the objects, so that no other one takes their address

    def of(self, value: Any, depth: int = 0) -> Any:
        """Return the description of any value.

        Args:
            value: The value.
            depth: How deep it is in what is described.

        Returns:
            Nested mappings, lists, texts and numbers.
        """
        if value is None or isinstance(value, bool | str | numbers.Number | np.generic | bytes | bytearray):
            return plain(value)
        if depth > DEEPEST:
            return f"a {type(value).__qualname__}"
        if id(value) not in self.known:
            self.known[id(value)] = value, "what it belongs to"  # where it refers to itself
            found = _shortened(self._compound(value, depth + 1))
            self.known[id(value)] = value, found
        return self.known[id(value)][1]

    def _compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, Tensor | np.ndarray):
            return self._array(value)
        if isinstance(value, functools.partial):
            return [self.of(part, depth) for part in (value.func, value.args, value.keywords)]
        if type(value) in (dict, types.MappingProxyType):
            return {_key(key): self.of(item, depth) for key, item in value.items()}
        if type(value) is list or isinstance(value, tuple):
            return [self.of(item, depth) for item in value]
        if isinstance(value, set | frozenset):
            return sorted((self.of(item, depth) for item in value), key=_text)
        if isinstance(value, type):
            return {"function": value.__qualname__, **self._class(value, depth)}
        if isinstance(value, types.MethodType):
            return {"function": value.__func__.__qualname__, "self": self.of(value.__self__, depth)}
        if isinstance(value, types.FunctionType):
            return self._function(value, depth)
        if isinstance(value, nn.Module):
            return self._module(value, depth)
        if dataclasses.is_dataclass(value):
            names = [f.name for f in dataclasses.fields(value) if f.compare]
            fields = {name: self.of(getattr(value, name, None), depth) for name in names}
            return {"class": type(value).__qualname__, **fields, **self._class(type(value), depth)}
        if isinstance(value, PurePath):
            return _file(Path(value))
        if isinstance(value, enum.Enum | torch.dtype | torch.device | slice | range | datetime.date):
            return str(value)
        return value.__name__ if isinstance(value, types.ModuleType) else self._object(value, depth)

    def _array(self, value: Any) -> Any:
        shape = describe(value) if isinstance(value, Tensor) else f"{value.shape} {value.dtype}"
        if isinstance(value, Tensor) and self.trained and (value.requires_grad or isinstance(value, nn.Parameter)):
            return {"tensor": shape}
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            return {"tensor": shape, "digest": _digest(_text(self.of(value.tolist())).encode())}
        return {"tensor": shape, "digest": _digest_of_array(value)}

    def _function(self, function: types.FunctionType, depth: int) -> Any:
        if _is_library(function):
            return function.__qualname__
        defaults = dict(enumerate(function.__defaults__ or ())) | (function.__kwdefaults__ or {})
        read = {**_enclosed(function), **_globals(function)}
        return {
            "function": function.__qualname__,
            "code": _digest(_code(function.__code__, function.__doc__).encode()),
            **({"defaults": self.of(defaults, depth)} if defaults else {}),
            **({"variables": self.of(read, depth)} if read else {}),
        }

    def _class(self, kind: type, depth: int) -> dict[str, Any]:
        """Return a digest of the methods of a class of the user, with what they read."""
        methods = {
            f"{owner.__qualname__}.{name}": self.of(function, depth)
            for owner in kind.__mro__
            if not _is_library(owner)
            for name, function in ((n, _bare(f)) for n, f in vars(owner).items() if n not in vars(object))
            if isinstance(function, types.FunctionType) and function.__module__ == owner.__module__
        }
        return {"code": _digest(_text(methods).encode())} if methods else {}

    def _module(self, module: nn.Module, depth: int) -> Any:
        scripted = isinstance(module, torch.jit.ScriptModule)
        if not scripted and isinstance(inner := module._modules.get("_orig_mod"), nn.Module):
            return self.of(inner, depth)  # of a compiled module
        own = {} if scripted else {k: v for k, v in vars(module).items() if k not in MODULE and k != RECORD}
        if _is_library(type(module)):  # which keeps its notes there, such as that something was checked
            own = {k: v for k, v in own.items() if not k.startswith("_")}
        held = {
            **{n: self._held(t) for n, t in module.named_parameters(recurse=scripted)},
            **{n: self._held(t) for n, t in module.named_buffers(recurse=scripted)},
            **({} if scripted else {n: self.of(m, depth) for n, m in module.named_children()}),
            **{k: self.of(v, depth) for k, v in own.items()},
        }
        return {"class": type(module).__qualname__, **held, **self._class(type(module), depth)}

    def _held(self, tensor: Tensor) -> Any:
        return {"tensor": describe(tensor)} if self.trained else self._array(tensor)

    def _object(self, value: Any, depth: int) -> Any:
        """Describe an object by what it would be pickled by, or by its class, such as a lock, where it cannot be."""
        kind = type(value)
        name = getattr(value, "__qualname__", getattr(value, "__name__", kind.__qualname__))
        try:
            reducer = copyreg.dispatch_table.get(kind)
            reduced = value.__reduce_ex__(2) if reducer is None else reducer(value)
        except Exception:  # a foreign object may raise anything here
            return name
        if isinstance(reduced, str) or isinstance(value, GENERATORS):
            return name
        parts: list[Any] = [*reduced, None, None, None]
        _, arguments, state, *items = parts[:5]
        if isinstance(state, dict):
            state = {n: item for n, item in state.items() if not _is_cache(kind, str(n))}
        held = {
            "arguments": [part for part in arguments or () if part is not kind],
            "state": state,
            "items": [list(part) for part in items if part is not None],
        }
        found = {key: self.of(part, depth) for key, part in held.items() if part}
        attributes = found.pop("state") if isinstance(found.get("state"), dict) else {}
        return {"class": name, **attributes, **found, **self._class(kind, depth)}


def plain(value: Any) -> Any:
    """Return a text, number or truth value as JSON can hold it, and those that are long as a digest.

    Args:
        value: The value.

    Returns:
        A text, a number, a truth value or None.
    """
    if isinstance(value, bytes | bytearray):
        return _digest(bytes(value))
    if isinstance(value, str):
        return str(value) if len(value) <= 10 * LONGEST else _digest(value.encode(errors="surrogatepass"))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic):
        return plain(value.item()) if isinstance(value.item(), bool | int | float | str) else str(value)
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else _digest(hex(value).encode())
    return float(value) if isinstance(value, float) and math.isfinite(value) else str(value)


def _shortened(node: Any) -> Any:
    """Return a digest in place of what would fill a checkpoint's card."""
    if not isinstance(node, Mapping | list) or len(node) <= LONGEST:
        return node
    return {"length": len(node), "digest": _digest(_text(node).encode())}


def _is_library(thing: Any) -> bool:
    """Whether a function or class belongs to a library, whose name says enough."""
    return str(getattr(thing, "__module__", None)).partition(".")[0] in LIBRARIES


def _bare(method: Any) -> Any:
    """Return the function of a method of any kind, as a class holds it."""
    if isinstance(method, property):
        return method.fget
    return getattr(method, "__func__", getattr(method, "func", method))


def _is_cache(kind: type, name: str) -> bool:
    """Whether an attribute holds what was computed from the others."""
    return "cache" in name.lower() or isinstance(getattr(kind, name, None), functools.cached_property)


def _enclosed(function: types.FunctionType) -> dict[str, Any]:
    """Return the variables of a function's closure that have a value."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _globals(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function reads from its module, in its own code and in the functions inside of it, but caches."""
    names, codes = set(), [function.__code__]
    while codes:
        code = codes.pop()
        codes += [const for const in code.co_consts if isinstance(const, types.CodeType)]
        names |= {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    held = {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}
    filled = {n for n, v in held.items() if isinstance(v, dict | set | list) and (n[0] == "_" or "cache" in n.lower())}
    return {n: v for n, v in held.items() if n not in filled}


def _code(code: types.CodeType, doc: str | None = None) -> str:
    """Return what a function does, without where it stands in a file, and without its docstring."""
    constants = [_constant(const) for const in code.co_consts if doc is None or const != doc]
    names = [code.co_names, code.co_freevars, code.co_argcount, code.co_kwonlyargcount, code.co_flags]
    return f"{code.co_code.hex()} {constants} {names}"


def _constant(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # the order of texts in it is another in each process
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return f"({', '.join(map(_constant, value))})" if isinstance(value, tuple) else repr(value)


def _key(key: Any) -> str:
    return str(key) if isinstance(key, str | int | float) or key is None else _text(Descriptions().of(key))


def _file(path: Path) -> Any:
    """Return a file or folder by its name and size, wherever it is."""
    try:
        if path.is_file():
            return {"file": path.name, "bytes": path.stat().st_size}
        inside = sorted((p.name, p.stat().st_size) for p in path.iterdir() if p.is_file())
    except OSError:
        return {"file": path.name}
    return {"folder": path.name, "digest": _digest(_text(inside).encode())}


def _digest_of_array(value: Any) -> str:
    try:
        if isinstance(value, Tensor):
            flat = value.detach().resolve_conj().resolve_neg().cpu().reshape(-1)
            flat = flat[:: 1 + flat.numel() // LARGEST].contiguous().view(torch.uint8).numpy()
        else:
            flat = value.reshape(-1)[:: 1 + value.size // LARGEST]
            flat = np.ascontiguousarray(flat).view(np.uint8)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):  # a sparse or meta tensor, say
        return "unknown" if not isinstance(value, Tensor) or value.is_meta else _digest_of_sparse(value)
    return _digest(flat.data)


def _digest_of_sparse(value: Tensor) -> str:
    try:
        return _digest_of_array(value.to_dense().numpy()) if value.layout is not torch.strided else "unknown"
    except (RuntimeError, TypeError, NotImplementedError):
        return "unknown"


def _digest(data: Any) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _text(node: Any) -> str:
    return json.dumps(node, sort_keys=True)

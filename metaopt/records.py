"""Record how a network was made: the public call and its arguments, kept on the network to make it again."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, overload

from torch import Tensor, nn
from torch.nn import functional

from .core.errors import MetaoptError
from .core.openings import Opening

Made = TypeVar("Made")
Arguments = ParamSpec("Arguments")
RECORD = "made_by"


@overload
def recorded(constructor: type[Made]) -> type[Made]: ...


@overload
def recorded(constructor: Callable[Arguments, Made]) -> Callable[Arguments, Made]: ...


def recorded(constructor: Any) -> Any:
    """Decorate a public constructor so that what it makes remembers the call that made it.

    The record is a mapping of the public name of the call and its arguments, such as ``{"call": "metaopt.models.rim",
    "hidden": 64, ...}``. Numbers, strings, lists and tensors are kept as they are. Modules with a record of their own,
    and dataclasses of this package, become mappings of the same form. Public functions and classes become ``{"take":
    name}``.

    Args:
        constructor: A public class or function of this package that makes a module.

    Returns:
        The class, whose constructor now records, or a function that records.
    """
    signature = inspect.signature(constructor)
    name = _public_name(constructor)

    def record(made: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        given = signature.bind(*arguments, **keywords)
        defaults = {p.name: p.default for p in signature.parameters.values()}
        chosen = {key: value for key, value in given.arguments.items() if value is not defaults[key]}
        values = {key: value for key, value in defaults.items() if _describes(value)} | chosen
        made.__dict__[RECORD] = {"call": name, **{key: _described(value) for key, value in values.items()}}

    if inspect.isclass(constructor):
        original = constructor.__init__

        @functools.wraps(original)
        def initialize(self: Any, *arguments: Any, **keywords: Any) -> None:
            original(self, *arguments, **keywords)
            if type(self) is constructor:  # the call would not make a subclass
                record(self, arguments, keywords)

        constructor.__init__ = initialize
        return constructor

    @functools.wraps(constructor)
    def call(*arguments: Any, **keywords: Any) -> Any:
        made = constructor(*arguments, **keywords)
        record(made, arguments, keywords)
        return made

    return call


def remember(made: nn.Module, call: Mapping[str, Any]) -> None:
    """Replace the record of ``made`` by an equivalent ``call`` that is written in another way.

    Args:
        made: A module.
        call: A mapping with ``call`` and its arguments.
    """
    made.__dict__[RECORD] = dict(call)


def record_of(net: nn.Module) -> dict[str, Any]:
    """Return the call that made ``net``.

    Args:
        net: A module that a recorded constructor made.

    Returns:
        A mapping with ``call`` and its arguments.

    Raises:
        MetaoptError: No public constructor made the network, or one of its arguments cannot be written down.
    """
    record = net.__dict__.get(RECORD)
    if record is None:
        raise MetaoptError(
            f"No public constructor of metaopt made this {type(net).__name__}, so nothing can say how to make it "
            "again; save its state_dict() with safetensors.torch.save_file, and build the network yourself to load it."
        )
    _check_described(record, str(record["call"]))
    return record


@dataclasses.dataclass(frozen=True)
class Undescribed:
    """Mark an argument that a record cannot hold, and keep the name of its type."""

    kind: str


def _described(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | Tensor):
        return value
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, Opening):
        return _opening(value)
    if isinstance(value, nn.Module) and RECORD in value.__dict__:
        return value.__dict__[RECORD]
    if getattr(value, "__module__", "") == functional.__name__ and hasattr(functional, getattr(value, "__name__", "")):
        return {"take": f"{functional.__name__}.{value.__name__}"}
    if getattr(value, "__module__", "").startswith("metaopt."):
        if callable(value) and hasattr(value, "__qualname__"):
            return {"take": _public_name(value)}
        if dataclasses.is_dataclass(value):
            fields = {f.name: _described(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"call": _public_name(type(value)), **fields}
    return Undescribed(getattr(value, "__qualname__", type(value).__name__))


def _opening(opening: Opening) -> dict[str, Any]:
    value = _described(opening.value)
    if not opening.learned:
        return {"call": "metaopt.core.fixed", "value": value}
    constraint = {"positive": opening.positive, "interval": _described(opening.interval)}
    if opening.steps is None:
        return {"call": "metaopt.core.shared", "value": value, **constraint}
    return {"call": "metaopt.core.per_step", "steps": opening.steps, "value": value, **constraint}


def _describes(value: Any) -> bool:
    return value is not inspect.Parameter.empty and not isinstance(_described(value), Undescribed)


def _check_described(node: Any, where: str) -> None:
    if isinstance(node, Undescribed):
        raise MetaoptError(
            f"{where} was given {node.kind}, which no public name of metaopt makes, so a card cannot say how to make "
            "it again; save the state_dict() with safetensors.torch.save_file instead."
        )
    for key, item in node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ():
        _check_described(item, f"{where}, {key}" if isinstance(node, Mapping) else where)


def _public_name(value: Any) -> str:
    """Return the public name, such as ``metaopt.models.rim`` of a function of the module ``metaopt.models.rim``."""
    parts = value.__module__.split(".")
    package = ".".join(parts[:3] if parts[1:3] == ["core", "gradients"] else parts[:2])
    return f"{package}.{value.__qualname__}"

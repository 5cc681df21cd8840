"""Check what users pass to public constructors and calls, and refuse it in one sentence.

Each check takes the name of the argument as the subject of that sentence, such as ``"The peak of psnr"``, and returns
the value where it fits. The checks belong in constructors and at the start of a call, never inside a step. They read no
value of a tensor, except :func:`check_finite`, which reads none where there are none to read.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..core import autodiff
from ..core.errors import MetaoptError
from ..foundation.words import LARGEST
from ..foundation.words import said as said
from .arrays import from_array

Kind = Literal["real", "real or complex", "whole", "boolean", "any"]
Value = TypeVar("Value")

KINDS = {
    "real": "a real floating-point tensor",
    "real or complex": "a floating-point or complex tensor",
    "whole": "a tensor of whole numbers",
    "boolean": "a tensor of bools",
    "any": "a tensor",
}


def check_tensor(name: str, value: Any, kind: Kind = "real", shape: str = "") -> Tensor:
    """Return ``value`` if it is an ordinary tensor of the wanted kind and number of axes.

    An ordinary tensor has values in a dense layout: it is not on the meta device, not sparse, not quantized, and a
    floating-point number of it has at least 16 bits.

    Args:
        name: The subject of the error, such as ``"The measurement y"``.
        value: What was passed.
        kind: The kind of numbers.
        shape: The axes, such as ``"(B, C, H, W)"``, where ``...`` is any number of further axes. Where an axis is a
            number, such as the first of ``"(2, E)"``, its length must be that. Without a shape any number of axes
            fits.

    Raises:
        MetaoptError: It is no such tensor.
    """
    if not isinstance(value, Tensor) or not _is_kind(value, kind) or not _has_shape(value, shape):
        wanted = f"{KINDS[kind]}{' ' * bool(shape)}{shape}"
        remedy = "" if isinstance(value, Tensor) or not _like_tensor(value) else "; torch.as_tensor makes one"
        raise MetaoptError(f"{name} must be {wanted}, but got {said(value)}{remedy}.")
    return value


def as_numbers(name: str, value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Convert a number, a list or array of numbers or an ordinary tensor to a tensor of the given dtype and device.

    Args:
        name: The subject of the error.
        value: What was passed.
        dtype: The dtype; a complex value fits a complex dtype only.
        device: The device.

    Raises:
        MetaoptError: It does not hold numbers.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "fciu":
        value = from_array(name, value.astype(np.float64) if value.dtype.kind == "u" else value)
    if isinstance(value, Tensor):
        check_tensor(name, value, "any")
        fits = value.dtype != torch.bool and (dtype.is_complex or not value.is_complex())
    else:
        fits = value is not None and not isinstance(value, bool | str | bytes)
    try:
        converted = torch.as_tensor(value, dtype=dtype, device=device) if fits else None
    except (TypeError, ValueError, RuntimeError, OverflowError):
        converted = None
    if converted is None:
        kind = "real or complex" if dtype.is_complex else "real"
        raise MetaoptError(f"{name} must be a {kind} number, a list of them or a tensor, but got {said(value)}.")
    return converted


def check_finite(name: str, tensor: Tensor) -> Tensor:
    """Return ``tensor`` if none of its values is NaN or infinite, or if its values are not known.

    Args:
        name: The subject of the error.
        tensor: A tensor.

    Raises:
        MetaoptError: A value is not finite.
    """
    if autodiff.values_known() and not autodiff.inside_transform() and not bool((finite := tensor.isfinite()).all()):
        raise MetaoptError(f"{name} holds {int((~finite).sum())} values that are NaN or infinite.")
    return tensor


def check_labels(name: str, labels: Tensor, classes: int, of: str = "classes") -> Tensor:
    """Return ``labels`` if all of them are from 0 to ``classes - 1``, or if their values are not known.

    Args:
        name: The subject of the error.
        labels: A tensor of whole numbers.
        classes: The number of classes.
        of: What is numbered, for the error.

    Raises:
        MetaoptError: A label is out of range.
    """
    known = autodiff.values_known() and not autodiff.inside_transform()
    if known and labels.numel() and not bool(((labels >= 0) & (labels < classes)).all()):
        low, high = int(labels.min()), int(labels.max())
        raise MetaoptError(
            f"{name} must be numbers of {of} from 0 to {classes - 1}, but they go from {low} to {high}; renumber them, "
            "or leave out what has no number."
        )
    return labels


def check_number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, above: float | None = None
) -> Any:
    """Return ``value`` if it is one finite real number in the closed interval from ``low`` to ``high``.

    Args:
        name: The subject of the error.
        value: What was passed: a Python or NumPy number, or a tensor without axes.
        low: The smallest number allowed.
        high: The largest number allowed.
        above: With it, the number must be larger than this.

    Raises:
        MetaoptError: It is no number, NaN, infinite or outside of the interval.
    """
    if isinstance(value, Tensor) and autodiff.inside_transform():
        return value  # it has no value to compare
    finite = _is_number(value) and -math.inf < value < math.inf
    if not finite or not low <= value <= high or (above is not None and not value > above):
        bounds = [] if above is None else [f"more than {above}"]
        bounds += [f"{word} {bound}" for word, bound in (("at least", low), ("at most", high)) if math.isfinite(bound)]
        limits = f", {' and '.join(bounds)}" * bool(bounds)
        raise MetaoptError(f"{name} must be a finite number{limits}, but got {said(value)}.")
    return value


def check_count(name: str, value: Any, low: int = 1, high: float = math.inf) -> int:
    """Return ``value`` if it is a whole number in the closed interval from ``low`` to ``high``; a bool is none.

    Args:
        name: The subject of the error.
        value: What was passed: a Python or NumPy integer.
        low: The smallest number allowed.
        high: The largest number allowed.

    Raises:
        MetaoptError: It is no whole number, or outside of the interval.
    """
    high = min(high, LARGEST)
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        limit = f" and at most {high}" if high < LARGEST or (isinstance(value, Integral) and int(value) > high) else ""
        raise MetaoptError(f"{name} must be a whole number of at least {low}{limit}, but got {said(value)}.")
    return int(value)


def check_whole(name: str, value: Any) -> int:
    """Return ``value`` if it is a whole number of any sign; a bool is none.

    Args:
        name: The subject of the error.
        value: What was passed: a Python or NumPy integer.

    Raises:
        MetaoptError: It is no whole number.
    """
    if not isinstance(value, Integral | torch.SymInt) or isinstance(value, bool):
        raise MetaoptError(f"{name} must be a whole number, but got {said(value)}.")
    return value  # type: ignore[return-value]


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is a bool.

    Args:
        name: The subject of the error.
        value: What was passed.

    Raises:
        MetaoptError: It is none.
    """
    if not isinstance(value, bool):
        raise MetaoptError(f"{name} must be True or False, but got {said(value)}.")
    return value


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return ``value`` if it is one of ``choices``, strings or None.

    Args:
        name: The subject of the error.
        value: What was passed.
        choices: What is allowed.

    Raises:
        MetaoptError: It is none of these.
    """
    if not isinstance(value, str | None) or value not in choices:
        raise MetaoptError(f"{name} must be {' or '.join(map(repr, choices))}, but got {said(value)}.")
    return value


def check_function(name: str, value: Any, *arguments: str, classes: bool = False) -> Callable[..., Any]:
    """Return ``value`` if it can be called with the given positional arguments.

    A callable that does not say what it takes, as some builtins, passes.

    Args:
        name: The subject of the error, such as ``"The loss of Supervised"``.
        value: What was passed: a function, a module or another callable.
        arguments: The names of the arguments, for the error.
        classes: Whether a class of modules fits, which makes one, instead of a module.

    Raises:
        MetaoptError: It cannot be called, or not with so many arguments.
    """
    if not autodiff.values_known():  # signatures cannot be looked at in compiled code
        return value
    wanted = f"{name} must be a function of ({', '.join(arguments)})"
    if not callable(value) or (isinstance(value, type) and issubclass(value, nn.Module) and not classes):
        raise MetaoptError(f"{wanted}, but got {said(value)}.")
    called: Any = value.forward if isinstance(value, nn.Module) else value
    try:
        signature = inspect.signature(called)
    except (ValueError, TypeError):  # builtins written in C may have no signature
        return value
    try:
        signature.bind(*arguments)
    except TypeError as error:
        given = getattr(value, "__name__", type(value).__name__)
        raise MetaoptError(f"{wanted}, but {given}{signature} does not take these ({error}).") from error
    return value


def check_instance(name: str, value: Any, kind: type[Value], remedy: str = "") -> Value:
    """Return ``value`` if it is an instance of ``kind``.

    Args:
        name: The subject of the error.
        value: What was passed.
        kind: The class that it must have.
        remedy: What to do instead, a phrase that ends the sentence.

    Raises:
        MetaoptError: It has another class.
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        end = f"; {remedy}" if remedy else ""
        raise MetaoptError(f"{name} must be {article} {kind.__name__}, but got {said(value)}{end}.")
    return value


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what torch raises for data that do not fit a user's function into a sentence that says where it was called.

    It is for trial calls, once a run; errors of this library and of the memory pass unchanged.

    Args:
        what: The start of the sentence, such as ``"The loss of Net cannot be computed"``.

    Raises:
        MetaoptError: The body raised another error, which is the cause.
    """
    try:
        yield
    except (MetaoptError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MetaoptError(f"{what}: {first}") from error


def _is_kind(value: Tensor, kind: Kind) -> bool:
    if value.layout is not torch.strided or value.is_quantized or value.device.type == "meta":
        return False
    dtype = value.dtype
    floating = dtype.is_floating_point and dtype.itemsize >= 2
    whole = dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if kind == "any":
        return floating or dtype.is_complex or whole or dtype == torch.bool
    if kind == "whole":
        return whole
    if kind == "boolean":
        return dtype == torch.bool
    return floating or (dtype.is_complex and kind == "real or complex")


def _has_shape(value: Tensor, shape: str) -> bool:
    axes = [axis for axis in shape.strip("()").replace(" ", "").split(",") if axis]
    if not shape:
        return True
    if "..." in axes:
        axes = axes[: axes.index("...")] if axes[0] != "..." else axes[1:]
        if value.ndim < len(axes):
            return False
        sizes = value.shape[value.ndim - len(axes) :] if shape.startswith("(...") else value.shape
        return all(not axis.isdigit() or int(axis) == size for axis, size in zip(axes, sizes, strict=False))
    sizes_fit = (not axis.isdigit() or int(axis) == size for axis, size in zip(axes, value.shape, strict=False))
    return value.ndim == len(axes) and all(sizes_fit)


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return _is_kind(value, "any") and value.ndim == 0 and value.dtype != torch.bool and not value.is_complex()
    return isinstance(value, Real) and not isinstance(value, bool)


def _like_tensor(value: Any) -> bool:
    return isinstance(value, list | tuple | Real) or type(value).__module__ == "numpy"

"""Check that weights fit the network that their card builds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core import MetaoptError, Unrolled

MOST_STEPS = 10**5  # of a network; a larger number is a slip, or never ends
FLOATS = (torch.float64, torch.float32, torch.float16)  # one may be stored where another is meant


def convert(net: nn.Module, name: str, kind: Any, path: Path) -> None:
    """Give the named parameter or buffer the precision that it had when it was saved.

    Args:
        net: The network, changed in place.
        name: The name in its ``state_dict``.
        kind: The precision that the card says, such as ``"float64"``.
        path: The file of the weights, for error messages.

    Raises:
        MetaoptError: There is no such parameter, or no such precision of its kind.
    """
    dtype, tensor = getattr(torch, str(kind), None), net.state_dict(keep_vars=True).get(name)
    same = isinstance(dtype, torch.dtype) and tensor is not None and _kind(tensor.dtype) == _kind(dtype)
    if not isinstance(dtype, torch.dtype) or tensor is None or not same:
        raise MetaoptError(f"The card of {path} says that {name} is {kind!r}, which does not fit its network.")
    tensor.data = tensor.data.to(dtype)


def _kind(dtype: torch.dtype) -> tuple[bool, bool]:
    return dtype.is_floating_point, dtype.is_complex


def check_fits(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check that the tensors of a file are those of a network: names, shapes, precisions and finite values.

    Args:
        net: The network.
        tensors: The tensors by name.
        path: The file, for error messages.

    Raises:
        MetaoptError: They are not.
    """
    own = net.state_dict()
    expected = {n: tuple(t.shape) for n, t in own.items()}
    found = {n: tuple(t.shape) for n, t in tensors.items()}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise MetaoptError(
            f"{path} holds weights of another network: {wrong[0]} should be {expected.get(wrong[0], 'absent')} "
            f"but is {found.get(wrong[0], 'absent')} ({len(wrong)} differ in all)."
        )
    for name, tensor in tensors.items():
        kinds = {tensor.dtype, own[name].dtype}
        counts = tensor.dtype in FLOATS and not own[name].dtype.is_floating_point and bool((tensor % 1 == 0).all())
        eighth = tensor.dtype.is_floating_point and tensor.dtype.itemsize < 2
        if eighth or (len(kinds) > 1 and not kinds <= set(FLOATS) and not counts):
            raise MetaoptError(
                f"{path} holds {name} as {tensor.dtype}, but the network computes in {own[name].dtype}; convert it, or "
                "save the network by metaopt.models.save, whose card says the precision."
            )
    check_finite(tensors, path)
    _check_held(tensors, own, path)


def _check_held(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    """Check that no tensor becomes infinite or 0 in the precision of the network."""
    for name, tensor in tensors.items():
        kind = own[name].dtype
        if tensor.dtype == kind or not kind.is_floating_point or not tensor.numel():
            continue
        largest = tensor.abs().max()
        held = largest.to(kind)
        if not bool(torch.isfinite(held)) or bool((held == 0) & (largest > 0)):
            raise MetaoptError(
                f"{path} holds {name} with values up to {float(largest):g}, which {kind}, the precision it is used in, "
                "does not hold; scale them, or save the network by metaopt.models.save, whose card says the precision."
            )


def check_built(net: Any, path: Path, called: str) -> None:
    """Check that what a card builds is a network that does something.

    Args:
        net: What was built.
        path: The file of the weights, for error messages.
        called: The name of what built it.

    Raises:
        MetaoptError: It is not.
    """
    if not isinstance(net, nn.Module):
        raise MetaoptError(f"The card of {path} describes no network: {called} makes a {type(net).__name__}.")
    if isinstance(net, Unrolled) and net.steps < 1:
        raise MetaoptError(f"The card of {path} says steps={net.steps}, but a network takes at least one step.")
    if isinstance(net, Unrolled) and net.steps > MOST_STEPS:
        raise MetaoptError(f"The card of {path} says steps={net.steps}, but a network takes {MOST_STEPS} at most.")


def check_layers(net: nn.Module, path: Path) -> None:
    """Check that the layers of torch in a network compute in one precision, of which they cannot mix two.

    Args:
        net: The network, in the precisions that its card says.
        path: The file of the weights, for error messages.

    Raises:
        MetaoptError: They do not.
    """
    known: dict[torch.dtype, str] = {}
    for name, module in net.named_modules():
        if type(module).__module__.startswith("torch.nn."):
            for key, parameter in module.named_parameters(recurse=False):
                known.setdefault(parameter.dtype, f"{name}.{key}")
    if len(known) > 1:
        (first, one), (second, other) = list(known.items())[:2]
        raise MetaoptError(
            f"The card of {path} says that {one} is {first} and {other} {second}, but layers compute in one precision; "
            "correct its entry 'dtypes', or save the network again."
        )


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check that no value is NaN or infinite.

    Args:
        tensors: The tensors by name.
        path: Their file, for error messages.

    Raises:
        MetaoptError: One is.
    """
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise MetaoptError(f"The weights of {path} hold values that are NaN or infinite; they are damaged.")

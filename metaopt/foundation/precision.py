"""Keep the numbers of an algorithm precise, and what is computed with them in the precision of what is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .errors import MetaoptError
from .words import said

NARROWER = {
    torch.float64: (torch.float16, torch.bfloat16, torch.float32),
    torch.complex128: (torch.complex32, torch.complex64),
}


def computes_bfloat16() -> bool:
    """Return whether the processor has instructions for products in bfloat16, which without them is slow."""
    if not hasattr(torch.cpu, "get_capabilities"):  # before torch 2.11
        return False
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def moved(convert: Callable[[Tensor], Tensor], tensor: Tensor, is_number: bool, is_factor: bool = False) -> Tensor:
    """Return ``convert(tensor)``, but numbers never below float32, and float32 where a device has no float64.

    Args:
        convert: A conversion to another device or dtype.
        tensor: The tensor.
        is_number: Whether it holds numbers, in which 16 bits would lose too much: 1e-8 is 0 in float16.
        is_factor: Whether a parameter multiplies it, so that it would be 0 for ever.

    Raises:
        MetaoptError: A finite value would become infinite, or a factor 0.
    """
    try:
        new = convert(tensor)
    except TypeError:  # what such devices raise
        new = convert(tensor.float())
    narrow = new.is_floating_point() and new.dtype.itemsize < 4 <= tensor.dtype.itemsize
    new = tensor.to(new.device, torch.float32) if is_number and narrow else new
    if new.dtype.itemsize < tensor.dtype.itemsize:
        _check_kept(tensor, new, is_factor)
    return new


def mover(device: Any, dtype: Any) -> Callable[[Tensor], Tensor]:
    """Return a function that moves a tensor, and converts it if it is floating or complex, which it stays.

    Args:
        device: A device, or what ``Tensor.to`` takes in its place: a dtype, or a tensor whose device and dtype hold.
        dtype: A floating or complex dtype.

    Raises:
        MetaoptError: These are no device and no such dtype.
    """
    where: Any = device
    if isinstance(device, Tensor) and dtype is None:
        where, dtype = device.device, device.dtype
    elif isinstance(device, torch.dtype) and dtype is None:
        where, dtype = None, device
    try:
        place = None if where is None else torch.device(where)
    except (RuntimeError, TypeError) as error:
        raise MetaoptError(f"to takes a device, a dtype or both, in this order, but got {said(device)}.") from error
    if dtype is not None and not (isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype.is_complex)):
        got = dtype if isinstance(dtype, torch.dtype) else said(dtype)
        raise MetaoptError(f"to converts floating tensors to a floating dtype, but got {got}.")

    def move(tensor: Tensor) -> Tensor:
        if not (tensor.is_floating_point() or tensor.is_complex()):
            return tensor.to(place)
        return tensor.to(place, dtype.to_complex() if dtype and tensor.is_complex() else dtype)

    return move


def _check_kept(tensor: Tensor, new: Tensor, is_factor: bool) -> None:
    """Raise if a value was lost that the narrower dtype does not hold."""
    if new.is_meta or tensor.is_meta or not new.is_floating_point():
        return
    lost = tensor.isfinite() & ~new.isfinite().to(tensor.device)
    if is_factor:
        lost = lost | ((tensor != 0) & (new == 0).to(tensor.device))
    if bool(lost.any()):
        value, after = (t.detach()[lost.to(t.device)].flatten()[0].item() for t in (tensor, new))
        narrow, wide = (str(t.dtype).removeprefix("torch.") for t in (new, tensor))
        raise MetaoptError(f"The value {value:g} of a slot is {after:g} in {narrow}; keep it in {wide}, or change it.")


def numbers(given: Any, kind: type[nn.Module]) -> Iterator[list[Tensor]]:
    """Yield the numbers of all modules in ``given``, slot by slot, also those that a slot holds step by step.

    Args:
        given: An algorithm, a problem, or containers of them.
        kind: The kind of slot that holds numbers.
    """
    if not isinstance(given, nn.Module):
        if is_dataclass(given):
            given = [getattr(given, field.name, None) for field in fields(given)]
        for item in given.values() if isinstance(given, dict) else given if isinstance(given, tuple | list) else ():
            yield from numbers(item, kind)
        return
    for part in given.modules():
        if isinstance(part, kind):
            yield [*part.parameters(), *part.buffers()]
        for template in getattr(part, "_templates", ()):  # what is stacked has the names of the template
            inside, held = dict(template.named_modules()), {**part._parameters, **part._buffers}
            owners = {name: inside.get(name.replace("/", ".").rpartition(".")[0]) for name in held}
            yield [t for name, t in held.items() if t is not None and isinstance(owners[name], kind)]


def narrowed(
    before: list[Tensor], after: list[Tensor], numbers: Iterable[list[Tensor]], given: Iterable[list[Tensor]]
) -> list[Tensor]:
    """Return ``after`` in the dtypes of ``before`` where only float64 ``numbers`` made it wider.

    Numbers have no axes and so never widen a tensor, but what is stacked or expanded of them does. Where anything else
    that is ``given`` is as wide, the width is not theirs, and nothing is changed.

    Args:
        before: The tensors of a state.
        after: Those of the next state.
        numbers: The numbers of the algorithm, slot by slot, which are looked at only where a tensor has become wider.
        given: All tensors that the step may have read, with or without the numbers.
    """
    wider = [old.dtype in NARROWER.get(new.dtype, ()) for old, new in zip(before, after, strict=False)]
    if len(before) != len(after) or not any(wider):
        return after
    own = {id(number) for held in numbers for number in held}
    if not own or any(t.dtype in NARROWER and id(t) not in own for part in given for t in part):
        return after
    return [new.to(old.dtype) if wide else new for new, old, wide in zip(after, before, wider, strict=True)]

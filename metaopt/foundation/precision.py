"""Keep the numbers of an algorithm precise, and what is computed with them in the precision of what is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

NARROWER = {
    torch.float64: (torch.float16, torch.bfloat16, torch.float32),
    torch.complex128: (torch.complex32, torch.complex64),
}


def moved(convert: Callable[[Tensor], Tensor], tensor: Tensor, is_number: bool) -> Tensor:
    """Return ``convert(tensor)``, but numbers never below float32, and float32 where a device has no float64.

    Args:
        convert: A conversion to another device or dtype.
        tensor: The tensor.
        is_number: Whether it holds numbers, in which 16 bits would lose too much: 1e-8 is 0 in float16.
    """
    try:
        new = convert(tensor)
    except TypeError:  # what such devices raise
        return convert(tensor.float())
    narrow = new.is_floating_point() and new.dtype.itemsize < 4 <= tensor.dtype.itemsize
    return tensor.to(new.device, torch.float32) if is_number and narrow else new


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

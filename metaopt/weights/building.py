"""Build what a card or recipe asks for without more memory than it can account for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..core import MetaoptError

CALLS = 10**6  # of functions of torch; the largest shipped network takes a thousand


@contextlib.contextmanager
def in_float32() -> Iterator[None]:
    """Make what is built in the context in float32, as cards mean it, whatever torch's default dtype is."""
    before = torch.get_default_dtype()
    if before == torch.float32:  # the default is the whole process's, so it is left alone where it can be
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Bounded(TorchFunctionMode):
    """Refuse, within the context, what asks for a tensor that is too large, or for tensors without end.

    A tensor is refused before its memory is filled, so that nothing is taken from the system.

    Args:
        most: The largest number of bytes of one tensor.
    """

    def __init__(self, most: int):
        super().__init__()
        self.most, self.left = most, CALLS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise MetaoptError("it makes tensors without end, so its numbers are not those of these weights.")
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.numel() * made.element_size() > self.most:
            raise MetaoptError(
                f"it asks for a tensor of {made.numel() * made.element_size():,} bytes, but {self.most:,} are the most "
                "that fit here."
            )
        return made

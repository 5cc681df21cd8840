"""Build what a card or recipe asks for without more memory than it can account for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..core import MetaoptError

CALLS = 10**6  # of functions of torch; the largest shipped network takes a thousand


def memory() -> int:
    """Return the bytes of memory of this machine, or 64 GiB where the operating system does not say."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PAGE_SIZE" not in names or "SC_PHYS_PAGES" not in names:
        return 2**36
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
        total: The largest number of bytes of all tensors together. None: four times ``most``.
    """

    def __init__(self, most: int, total: int | None = None):
        super().__init__()
        self.most, self.left, self.room = most, CALLS, 4 * most if total is None else total
        self.seen: set[int] = set()  # where the tensors are that were counted

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
        if isinstance(made, Tensor) and made.layout == torch.strided and made.device.type == "cpu":
            self._count(made.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self.seen:
            return
        self.seen.add(place)
        self.room -= size
        if self.room < 0:
            raise MetaoptError("its tensors together take more memory than fits here; make it smaller.")

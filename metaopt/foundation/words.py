"""Describe values in the words of an error: what a tensor is, what was passed."""

from __future__ import annotations

import inspect
from numbers import Real
from typing import Any

import torch
from torch import Tensor

LARGEST = 2**63 - 1  # of the whole numbers that torch holds


def describe(tensor: Tensor) -> str:
    """Return shape and dtype of a tensor as text, such as ``(2, 5, 3) float32``."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def said(value: Any) -> str:
    """Return a short description of a value for errors: what a tensor is, a number or string itself, or the type."""
    if isinstance(value, Tensor):
        layout = "" if value.layout is torch.strided else f"sparse ({str(value.layout).removeprefix('torch.')}) "
        empty = " on the meta device, which holds no values" if value.device.type == "meta" else ""
        return f"a {layout}tensor {describe(value)}{empty}"
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a whole number of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | str | Real):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, list | tuple) and len(value) <= 20 and len(text := ", ".join(map(said, value))) <= 58:
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"[{text}]" if isinstance(value, list) else f"({text}{comma})"
    if inspect.isfunction(value):
        return f"the function {value.__name__}{inspect.signature(value)}"
    return f"a {type(value).__name__}"

"""NumPy arrays of every kind of number, byte order and memory become tensors of the same values."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metaopt.arguments.arrays import from_array
from metaopt.arguments.checks import as_numbers
from metaopt.core.errors import MetaoptError

VALUES = np.array([[1.0, -2.5, 3.0], [0.25, 8.0, -1.0]])
KINDS = [">f8", ">f4", "<f8", "float16", "longdouble", "clongdouble", ">c16", ">i4", "uint16", "bool"]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_every_kind_keep_their_values(kind: str) -> None:
    array = VALUES.astype(kind)
    found = from_array("The matrix", array)
    assert found.tolist() == array.astype(complex).tolist()
    assert not np.shares_memory(found.numpy(), array)


def memory(name: str, folder: Path) -> np.ndarray[Any, Any]:
    if name == "mapped":
        VALUES.tofile(folder / "values")
        return np.memmap(folder / "values", mode="r", shape=VALUES.shape, dtype=VALUES.dtype)
    array = VALUES.copy()
    array.flags.writeable = name != "read-only"
    return array[::-1, ::-1] if name == "reversed" else array


@pytest.mark.parametrize("name", ["read-only", "mapped", "reversed"])
def test_arrays_in_every_memory_are_copied_without_a_word(name: str, tmp_path: Path) -> None:
    array = memory(name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = from_array("The matrix", array)
        numbers = as_numbers("The guess", array, torch.float64, torch.device("cpu"))
    assert found.tolist() == numbers.tolist() == array.tolist()
    assert not np.shares_memory(numbers.numpy(), array)


@pytest.mark.parametrize("kind", [">f8", ">f4", "longdouble", "float16", ">i4", "uint16", ">u2"])
def test_numbers_may_be_arrays_of_every_kind(kind: str) -> None:
    array = np.abs(VALUES).astype(kind)
    assert as_numbers("The guess", array, torch.float32, torch.device("cpu")).tolist() == array.tolist()


@pytest.mark.parametrize("array", [VALUES.astype(object), VALUES.astype(str), np.zeros(2, "M8[s]"), None], ids=str)
def test_what_holds_no_numbers_is_refused(array: Any) -> None:
    with pytest.raises(MetaoptError, match="The matrix must hold numbers"):
        from_array("The matrix", array)


def test_masked_arrays_are_refused_rather_than_filled() -> None:
    masked: Any = np.ma.array(VALUES, mask=VALUES < 0)  # type: ignore[no-untyped-call]
    for take in (from_array, lambda name, a: as_numbers(name, a, torch.float32, torch.device("cpu"))):
        with pytest.raises(MetaoptError, match="masked array"):
            take("The guess", masked)

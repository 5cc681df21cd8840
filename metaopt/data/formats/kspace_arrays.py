"""Read k-space from arrays that do not say what they hold: NumPy, MATLAB, plain HDF5, and BART's .cfl, which does."""

from __future__ import annotations

import contextlib
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import MetaoptError
from ...files import numpy_header, read_bytes
from ...foundation.extras import require
from . import kspace_hdf5
from .kspace_axes import ONE, AxisWords, Opened, axis_words, is_complex
from .kspace_stored import Request, Stored

IN_MEMORY = 2**30  # bytes of an array that can only be read whole

# The 16 axes of BART, of which the first three are space: https://bart-doc.readthedocs.io
BART_AXES = "read phase1 phase2 coil maps te coeff coeff2 iter cshift time time2 level slice average batch".split()


def open_numpy(request: Request) -> Stored:
    """Open a NumPy .npy file, whose axes carry no names.

    Args:
        request: What is asked for.

    Returns:
        How it is read.

    Raises:
        MetaoptError: The array is not complex, cut short, or its axes leave doubt.
    """

    @contextlib.contextmanager
    def opened() -> Iterator[np.ndarray]:
        yield np.load(request.path, mmap_mode="r", allow_pickle=False)

    _refuse_variable(request)
    with request.path.open("rb") as file:
        shape, _, dtype = numpy_header(file)
        held = request.path.stat().st_size - file.tell()
    expected = math.prod(shape) * dtype.itemsize
    if held < expected:
        raise MetaoptError(
            f"is cut short: an array {shape} of {dtype} has {expected:,} bytes, but {held:,} are there; copy it again."
        )
    return stored_array("NumPy array", opened, shape, dtype, request)


def open_numpy_archive(request: Request) -> Stored:
    """Open an array of a NumPy .npz file, which is read whole and kept, since it may be compressed.

    Args:
        request: What is asked for.

    Returns:
        How it is read.

    Raises:
        MetaoptError: As for :func:`open_numpy`; there are several complex arrays; it has more than ``IN_MEMORY`` bytes.
    """
    found = {}
    with zipfile.ZipFile(request.path) as archive:
        for name in (name for name in archive.namelist() if name.endswith(".npy")):
            with archive.open(name) as file:
                shape, _, dtype = numpy_header(file)
                found[name.removesuffix(".npy")] = shape, dtype
    name = _only(request, {name: shape for name, (shape, dtype) in found.items() if is_complex(dtype)}, found)
    shape, dtype = found[name]
    _check_size(math.prod(shape) * dtype.itemsize, "save it as .npy, of which a slice is read at a time")
    with np.load(request.path, allow_pickle=False) as archive:
        values = archive[name]
    return stored_array("NumPy archive", lambda: contextlib.nullcontext(values), shape, dtype, request)


def open_matlab(request: Request) -> Stored:
    """Open a variable of a MATLAB file up to version 7, which is read whole and kept.

    Args:
        request: What is asked for.

    Returns:
        How it is read.

    Raises:
        MetaoptError: There are several complex variables; it has more than ``IN_MEMORY`` bytes; its axes leave doubt.
    """
    io = require("scipy.io", "mri")
    found = {name: tuple(shape) for name, shape, kind in io.whosmat(request.path) if kind in ("double", "single")}
    sized = {name: shape for name, shape in found.items() if math.prod(shape) * 16 <= IN_MEMORY}
    if request.variable in found or not sized:
        name = _only(request, found, found)
        _check_size(math.prod(found[name]) * 16, "save it by save(..., '-v7.3'), of which a slice is read at a time")
        values = io.loadmat(request.path, variable_names=[name])[name]
    else:
        arrays = io.loadmat(request.path, variable_names=list(sized))
        arrays = {name: arrays[name] for name in sized if name in arrays}
        found_complex = {name: tuple(a.shape) for name, a in arrays.items() if is_complex(a.dtype) and min(a.shape) > 1}
        values = arrays[_only(request, found_complex, found)]
    values = np.asarray(values)
    return stored_array("MATLAB", lambda: contextlib.nullcontext(values), values.shape, values.dtype, request)


def open_hdf5_array(request: Request) -> Stored:
    """Open a complex array of an HDF5 file without further meaning, MATLAB's version 7.3 among them.

    Args:
        request: What is asked for.

    Returns:
        How it is read.

    Raises:
        MetaoptError: There are several complex arrays, or the axes leave doubt.
    """
    found = kspace_hdf5.contents(request.path)
    name = _only(request, found.complex_arrays(), {name: shape for name, (shape, _) in found.arrays.items()})
    shape, dtype = found.arrays[name]
    with request.path.open("rb") as file:
        matlab = file.read(10) == b"MATLAB 7.3"

    @contextlib.contextmanager
    def opened() -> Iterator[Any]:
        with kspace_hdf5.opened(request.path, name) as array:
            yield array

    if not matlab:
        return stored_array("HDF5 array", opened, shape, dtype, request)
    # MATLAB counts its first axis as the fastest, so that HDF5 has the axes in the opposite order.
    words = axis_words(shape[::-1], is_complex(dtype), request.axes, request.select)
    layout = words.layout("MATLAB 7.3", shape[::-1], {"variable": name})
    stored = AxisWords(words.words[::-1], words.chosen)
    return Stored(layout, _loader(stored, opened), notes=tuple(filter(None, [words.note])))


def open_cfl(request: Request) -> Stored:
    """Open a pair of BART's .cfl and .hdr: complex64, 16 axes, the first the fastest.

    Args:
        request: What is asked for.

    Returns:
        How it is read.

    Raises:
        MetaoptError: One of the pair is missing, or cut short; or axes that are never mixed have several entries.
    """
    _refuse_variable(request)
    stem = request.path.with_suffix("") if request.path.suffix in (".cfl", ".hdr") else request.path
    header, data = (stem.with_name(stem.name + ending) for ending in (".hdr", ".cfl"))
    for path in (header, data):
        if not path.is_file():
            raise MetaoptError(f"lacks its other half {path.name}; BART writes .cfl and .hdr together.")
    shape = _cfl_shape(header)
    held, expected = data.stat().st_size, 8 * math.prod(shape)
    if held != expected:
        raise MetaoptError(f"does not fit: {data.name} holds {held:,} bytes, but {header.name} tells of {expected:,}.")

    @contextlib.contextmanager
    def opened() -> Iterator[np.ndarray]:
        yield np.memmap(data, "<c8", "r", shape=shape, order="F")

    return stored_array("BART", opened, shape, np.dtype("<c8"), request, _cfl_words(shape))


def stored_array(
    format: str,
    opened: Opened,
    shape: tuple[int, ...],
    dtype: np.dtype,
    request: Request,
    default: str | None = None,
) -> Stored:
    """Return how an array is read whose axes are those that the user or the format names.

    Args:
        format: The name of the format.
        opened: Opens the array.
        shape: The array's shape.
        dtype: The type of its numbers.
        request: What is asked for.
        default: The words of the format itself, or None.

    Returns:
        How it is read.

    Raises:
        MetaoptError: The words do not fit, or there are none and the sizes leave doubt.
    """
    if dtype.kind == "O":
        raise MetaoptError(
            "holds Python objects, as slices of unlike size are saved; fill them with zeros to one size, or save each "
            "by itself."
        )
    if dtype.kind not in "cfiu" and not is_complex(dtype):
        raise MetaoptError(f"holds values of type {dtype}, but k-space is of complex numbers.")
    words = axis_words(shape, is_complex(dtype), request.axes, request.select, default)
    layout = words.layout(format, shape, {})
    return Stored(layout, _loader(words, opened), notes=tuple(filter(None, [words.note])))


def _loader(words: AxisWords, opened: Opened) -> Callable[[int, slice], np.ndarray]:
    def load(index: int, coils: slice) -> np.ndarray:
        with opened() as array:
            return words.read(array, index, coils)

    return load


def _only(request: Request, fitting: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Return the name of the array that is asked for, or the only one that can be k-space."""
    if request.variable is not None:
        if request.variable not in found:
            raise MetaoptError(f"has no array {request.variable!r}; there are: {', '.join(found) or 'none'}.")
        return request.variable
    if len(fitting) != 1:
        names = ", ".join(f"{name} {shape}" for name, shape in fitting.items())
        if fitting:
            raise MetaoptError(f"holds several complex arrays ({names}); say which is k-space by variable=.")
        there = ", ".join(found) or "none"
        raise MetaoptError(
            f"holds no complex array, as k-space is (arrays: {there}); if one has real and imaginary "
            "parts along an axis, name it by variable= and its axes by axes=."
        )
    return next(iter(fitting))


def _refuse_variable(request: Request) -> None:
    if request.variable is not None:
        raise MetaoptError(f"holds one array without a name, so variable={request.variable!r} names nothing.")


def _check_size(size: int, remedy: str) -> None:
    if size > IN_MEMORY:
        raise MetaoptError(f"holds an array of {size / 2**30:.1f} GB that has to be read whole; {remedy}.")


def _cfl_shape(header: Path) -> tuple[int, ...]:
    lines = read_bytes(header, 2**20).decode("latin1").splitlines()
    for at, line in enumerate(lines[:-1]):
        if line.strip() == "# Dimensions":
            words = lines[at + 1].split()
            if words and len(words) <= 32 and all(re.fullmatch("[0-9]{1,9}", word) for word in words):
                return tuple(map(int, words))
    raise MetaoptError(f"has a damaged {header.name}: a line '# Dimensions' and below it the sizes are missing.")


def _cfl_words(shape: tuple[int, ...]) -> str:
    """Return the words of BART's axes; the last of them in space that are not 1 are the picture's."""
    space = [axis for axis in range(min(3, len(shape))) if shape[axis] > 1]
    if len(space) < 2:
        raise MetaoptError(f"has sizes {shape}, of which fewer than two of BART's first three (space) are above 1.")
    names = [*BART_AXES, *(f"axis{axis}" for axis in range(len(BART_AXES), len(shape)))][: len(shape)]
    names[:3] = [ONE] * min(3, len(shape))
    for axis, word in zip(space, ("column", "row", "depth"), strict=False):
        names[axis] = word
    return " ".join(names)

"""Say which axis of an array of k-space is what, by words or by what its sizes leave no doubt about."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import MetaoptError

SPACE = ("depth", "row", "column")
ONE = "one"  # an axis of size 1 without a meaning
FEWEST = 32  # points along an axis of a picture, from which an axis is never taken for coils without being told
MOST_COILS = 256
LARGEST = 2**32  # bytes of one coil of one slice

EXAMPLES = "'coil row column', 'slice coil row column', 'coil depth row column' or 'row column coil'"


@dataclass(frozen=True)
class Layout:
    """Say what was found in a file of k-space.

    Args:
        format: The name of the file's format.
        axes: What each axis of the file's array is, in words.
        slices: Number of slices, or of volumes where k-space has three dimensions.
        coils: Number of coils.
        shape: (row, column), or (depth, row, column).
        attributes: Further entries of the file, such as the scan's name.
    """

    format: str
    axes: str
    slices: int
    coils: int
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class AxisWords:
    """Hold the meaning of each axis of an array, and the entry that is read of each axis that has no place in a slice.

    Args:
        words: One word an axis.
        chosen: The entry of each axis that is neither slice, coil, depth, row, column nor complex.
        note: How the meaning was found where it was not said, or the empty string.
    """

    words: tuple[str, ...]
    chosen: Mapping[str, int]
    note: str = ""

    def layout(self, format: str, shape: Sequence[int], attributes: Mapping[str, Any]) -> Layout:
        """Return the layout of an array of this shape.

        Args:
            format: The name of the file's format.
            shape: The array's shape.
            attributes: Further entries of the file.

        Returns:
            The layout.

        Raises:
            MetaoptError: The array is empty, or its coils and lines are not those of any scanner.
        """
        sizes = dict(zip(self.words, shape, strict=True))
        space = tuple(sizes[word] for word in SPACE if word in sizes)
        said = ", ".join(f"{word} {size}" for word, size in zip(self.words, shape, strict=True))
        layout = Layout(format, said, sizes.get("slice", 1), sizes.get("coil", 1), space, attributes)
        check_layout(layout)
        return layout

    def read(self, array: Any, index: int, coils: slice) -> np.ndarray:
        """Return some coils of one slice of an array, which is read no further than that.

        Args:
            array: An array, also one on disk, that can be sliced.
            index: The slice.
            coils: The coils.

        Returns:
            (coils, row, column) or (coils, depth, row, column), complex.
        """
        place = {"slice": index, "coil": coils, **self.chosen}
        piece = np.asarray(array[tuple(place.get(word, slice(None)) for word in self.words)])
        left = [word for word in self.words if not isinstance(place.get(word, slice(None)), int)]
        order = [word for word in ("coil", *SPACE, "complex") if word in left]
        piece = as_complex(piece.transpose([left.index(word) for word in order]), "complex" in left)
        return piece if "coil" in left else piece[None]


def check_layout(layout: Layout) -> None:
    """Check that a layout is that of measured k-space.

    Args:
        layout: The layout.

    Raises:
        MetaoptError: An axis is empty, coils are more than scanners have, or one coil does not fit into memory.
    """
    if 0 in (layout.slices, layout.coils, *layout.shape):
        raise MetaoptError(f"holds an empty array ({layout.axes}); nothing was measured, or it was not saved whole.")
    if min(layout.shape) < 2:
        raise MetaoptError(f"holds single lines ({layout.axes}), not k-space of at least 2 x 2; say its axes by axes=.")
    if layout.coils > MOST_COILS or (layout.coils > FEWEST and layout.coils > min(layout.shape)):
        raise MetaoptError(
            f"would have {layout.coils} coils of {' x '.join(map(str, layout.shape))} points ({layout.axes}), as no "
            f"scanner has; its axes are in another order: say which is what by axes=, as in {EXAMPLES}."
        )
    if 16 * math.prod(layout.shape) > LARGEST:
        raise MetaoptError(
            f"holds slices of {' x '.join(map(str, layout.shape))} points a coil, more than {LARGEST // 2**30} GB "
            "each; is the right array, or the right axis order, named?"
        )


def axis_words(
    shape: Sequence[int],
    complex_: bool,
    axes: str | None,
    select: Mapping[str, int],
    default: str | None = None,
) -> AxisWords:
    """Return what each axis of an array is.

    Args:
        shape: The array's shape.
        complex_: Whether its numbers are complex.
        axes: The words of the axes in their order, from slice, coil, depth, row, column, complex, one, and others of
            which ``select`` names the entry. None: ``default``, or what the sizes leave no doubt about.
        select: The entry to read of each axis that is none of these.
        default: The words that the format itself gives.

    Returns:
        The words.

    Raises:
        MetaoptError: The words do not fit the shape, or there are none and the sizes leave doubt.
    """
    note = ""
    if axes is None and default is None:
        if not complex_:
            raise MetaoptError(
                f"holds real numbers {tuple(shape)}, but k-space is complex; if an axis of size 2 holds the real and "
                "imaginary parts, call it 'complex' in axes=, as in 'coil row column complex'."
            )
        words = _guessed(shape)
        note = f"no axis is named in the file; {tuple(shape)} was taken as {' '.join(words)} (axes= says otherwise)"
    else:
        words = tuple((axes if axes is not None else default or "").lower().split())
    return AxisWords(words, _chosen(words, shape, complex_, select), note)


def _chosen(words: tuple[str, ...], shape: Sequence[int], complex_: bool, select: Mapping[str, int]) -> dict[str, int]:
    """Check the words against the shape, and return the entry of every axis that has to be chosen."""
    sizes = tuple(shape)
    if len(words) != len(sizes):
        raise MetaoptError(f"holds an array {sizes} of {len(sizes)} axes, but '{' '.join(words)}' names {len(words)}.")
    named = [word for word in words if word != ONE]
    if len(set(named)) < len(named) or not {"row", "column"} <= set(named):
        raise MetaoptError(f"has to have one 'row' and one 'column', and no word twice; '{' '.join(words)}' has not.")
    if ("complex" in words) == complex_ or (not complex_ and sizes[words.index("complex")] != 2):
        what = "complex numbers, so no axis is 'complex'" if complex_ else "real numbers, so one axis of 2 is 'complex'"
        raise MetaoptError(f"holds {what} (real and imaginary part), but axes= says '{' '.join(words)}' for {sizes}.")
    chosen: dict[str, int] = {}
    others = [word for word in words if word not in (*SPACE, "slice", "coil", "complex")]
    for word, size in zip(words, sizes, strict=True):
        if word not in others:
            continue
        if word not in select and size != 1:
            raise MetaoptError(
                f"holds {size} entries along '{word}', which are never mixed; choose one by select={{'{word}': 0}} "
                f"(0 to {size - 1})."
            )
        chosen[word] = select.get(word, 0)
        if not 0 <= chosen[word] < size:
            raise MetaoptError(f"has no '{word}' {chosen[word]}; there are {size}, counted from 0.")
    if unknown := set(select) - set(others):
        there = ", ".join(others) or "none"
        raise MetaoptError(f"has no axis {', '.join(sorted(unknown))} to select from; those to select from: {there}.")
    return chosen


def _guessed(shape: Sequence[int]) -> tuple[str, ...]:
    """Return words for axes of which the sizes leave one meaning only."""
    large = [axis for axis, size in enumerate(shape) if size >= FEWEST]
    small = [axis for axis, size in enumerate(shape) if 1 < size < FEWEST]
    if len(large) == 2 and not small:
        spatial = dict(zip(large, ("row", "column"), strict=True))
        return tuple(spatial.get(axis, ONE) for axis in range(len(shape)))
    if len(large) == 2 and len(small) == 1 and (small[0] < large[0] or small[0] > large[1]):
        spatial = {**dict(zip(large, ("row", "column"), strict=True)), small[0]: "coil"}
        return tuple(spatial.get(axis, ONE) for axis in range(len(shape)))
    raise MetaoptError(
        f"holds an array {tuple(shape)} that does not say which axis is what, and its sizes leave doubt; say it by "
        f"axes=, as in {EXAMPLES}."
    )


def is_complex(dtype: np.dtype) -> bool:
    """Return whether numbers of a type are complex, as NumPy's or as pairs of a compound type (MATLAB's, ISMRMRD's).

    Args:
        dtype: The type.

    Returns:
        Whether they are.
    """
    return dtype.kind == "c" or _parts(dtype) is not None


def as_complex(values: np.ndarray, pairs: bool = False) -> np.ndarray:
    """Return numbers as complex64 or complex128 of this machine's byte order.

    Args:
        values: Complex numbers, a compound of two real ones, or with ``pairs`` real ones.
        pairs: Whether the last axis holds real and imaginary parts.

    Returns:
        The complex numbers.
    """
    parts = _parts(values.dtype)
    if parts is None and not pairs:
        return values.astype(np.complex64 if values.dtype.itemsize <= 8 else np.complex128, copy=False)
    real, imaginary = (values[..., 0], values[..., 1]) if parts is None else (values[parts[0]], values[parts[1]])
    small = real.dtype.kind == "f" and real.dtype.itemsize <= 4
    result = np.empty(real.shape, np.complex64 if small else np.complex128)
    result.real, result.imag = real, imaginary
    return result


def _parts(dtype: np.dtype) -> tuple[str, str] | None:
    names = dtype.names or ()
    for real, imaginary in (("real", "imag"), ("r", "i"), ("re", "im"), ("Re", "Im")):
        if set(names) == {real, imaginary} and all(dtype[name].kind in "fiu" for name in names):
            return real, imaginary
    return None


Opened = Callable[[], AbstractContextManager[Any]]

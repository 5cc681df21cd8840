"""Say what was found in a set of visibilities, and read it in chunks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_count, check_instance, check_number, check_tensor, said
from ...core.errors import MetaoptError
from ...files import named_errors

CHUNK = 2**25  # bytes of visibilities, flags and weights that are read together


class VisibilityChunk(NamedTuple):
    """Some rows of a set: what was measured, where, and how well.

    ``uvw`` is (V, 3) float64 in metres, with the sign of :class:`~metaopt.operators.Visibilities`; ``visibilities`` is
    (V, F) complex, Stokes I in Jy; ``weights`` is (V, F), 1 / variance of the real part and of the imaginary part each,
    0 for what is flagged, missing or not finite, where the visibility is 0 as well. ``time`` is (V,) float64 in seconds
    of modified Julian date, ``antenna1`` and ``antenna2`` (V,) int64.
    """

    uvw: Tensor
    visibilities: Tensor
    weights: Tensor
    time: Tensor
    antenna1: Tensor
    antenna2: Tensor


class Antennas(NamedTuple):
    """The stations of an array: names, positions (A, 3) in metres of the ITRF, and dish diameters (A,) in metres."""

    names: tuple[str, ...]
    positions: Tensor
    diameters: Tensor


@dataclass(frozen=True, eq=False)
class VisibilitySet:
    """Say what was found in a set of visibilities, and read it; :func:`read_visibilities` makes it.

    Args:
        path: The file or folder.
        format: The name of its format.
        frequency: (F,) float64 in hertz, in the order of the set.
        direction: (right ascension, declination) of the phase centre, in radians, J2000.
        rows: V, without autocorrelations.
        antennas: The stations, or None where the set has none.
        notes: What its user should know, a sentence each without its full stop.
        load: Reads the rows from ``start`` to before ``stop``, of all channels or of those with the numbers given.
    """

    path: Path
    format: str
    frequency: Tensor
    direction: tuple[float, float]
    rows: int
    antennas: Antennas | None
    notes: tuple[str, ...]
    load: Callable[..., VisibilityChunk] = field(repr=False)

    @property
    def channels(self) -> int:
        """F."""
        return len(self.frequency)

    def narrowed(self, channels: Sequence[int]) -> VisibilitySet:
        """Return the set of some of the channels; others are not read.

        Args:
            channels: Their numbers, from 0, each once; the new set has them in this order.

        Raises:
            MetaoptError: There are no such channels, or none.
        """
        for number in channels:
            check_count("A channel", number, 0, self.channels - 1)
        if not channels or len(set(channels)) < len(channels):
            raise MetaoptError(f"Channels are chosen by different numbers, at least one, but got {said(channels)}.")
        return replace(self, frequency=self.frequency[list(channels)], load=partial(_load, self.load, tuple(channels)))

    def chunks(self, rows: int | None = None) -> Iterator[VisibilityChunk]:
        """Read the set chunk by chunk, so that memory does not grow with it.

        Args:
            rows: The rows of a chunk. None: as many as 32 MB hold.

        Returns:
            An iterator of chunks.

        Raises:
            MetaoptError: The set cannot be read, or all of it is flagged.
        """
        step = max(1, CHUNK // (60 * self.channels)) if rows is None else check_count("The rows of a chunk", rows)
        return self._chunks(step)

    def _chunks(self, step: int) -> Iterator[VisibilityChunk]:
        used = False
        for start in range(0, self.rows, step):
            chunk = self.part(start, min(start + step, self.rows))
            used = used or bool((chunk.weights > 0).any())
            yield chunk
        if not used:
            raise MetaoptError(
                f"Every visibility of {self.path} is flagged, has weight 0 or is not finite, so there is nothing to "
                "make a picture of; choose another field, window or column, or look at its flags."
            )

    def part(self, start: int, stop: int) -> VisibilityChunk:
        """Read some rows, all of which may be flagged.

        Args:
            start: The first.
            stop: The one before which to stop.

        Raises:
            MetaoptError: They cannot be read.
        """
        with named_errors(self.path, "visibilities"):
            return self.load(start, stop)

    def read(self) -> VisibilityChunk:
        """Read the whole set at once.

        Returns:
            A chunk of all rows.

        Raises:
            MetaoptError: The set cannot be read, or all of it is flagged.
        """
        chunks = list(self.chunks())
        return VisibilityChunk(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))


def _load(
    load: Callable[..., VisibilityChunk],
    channels: Sequence[int],
    start: int,
    stop: int,
    chosen: Sequence[int] | None = None,
) -> VisibilityChunk:
    return load(start, stop, channels if chosen is None else [channels[number] for number in chosen])


def check_parts(frequency: Any, direction: Any, antennas: Any) -> tuple[float, float]:
    """Return the phase centre, or raise where what is to be written beside the rows has another form.

    Args:
        frequency: (F,).
        direction: (right ascension, declination) in radians.
        antennas: An ``Antennas``, or None.

    Raises:
        MetaoptError: One does not fit.
    """
    check_tensor("The frequency of visibilities", frequency, "real", "(F,)")
    if not len(frequency) or not bool((frequency > 0).all()):
        raise MetaoptError("The frequency of visibilities needs at least one channel, each above 0, in hertz.")
    if not isinstance(direction, Sequence) or isinstance(direction, str) or len(direction) != 2:
        raise MetaoptError(f"The direction is (right ascension, declination) in radians, but got {said(direction)}.")
    for angle in direction:
        check_number("An angle of the direction", angle)
    if antennas is not None:
        check_instance("The antennas", antennas, Antennas)
    return float(direction[0]), float(direction[1])


def checked_chunks(chunks: Any, channels: int) -> Iterator[VisibilityChunk]:
    """Yield chunks that are to be written, each once it is checked.

    Args:
        chunks: An iterable of chunks.
        channels: F.

    Raises:
        MetaoptError: One is none, or does not fit the channels; or there is no row.
    """
    rows = 0
    if not isinstance(chunks, Iterable) or isinstance(chunks, Tensor):
        raise MetaoptError(f"Chunks to write must be a list or an iterator of them, but got {said(chunks)}.")
    for chunk in chunks:
        check_instance("A chunk to write", chunk, VisibilityChunk)
        count = len(chunk.uvw)
        wanted = [(count, 3), (count, channels), (count, channels), *[(count,)] * 3]
        for name, tensor, shape in zip(chunk._fields, chunk, wanted, strict=True):
            check_tensor(f"The {name} of a chunk", tensor, "any")
            if tuple(tensor.shape) != shape:
                raise MetaoptError(
                    f"The {name} of a chunk of {count} rows and {channels} channels is {shape}, but got "
                    f"{tuple(tensor.shape)}."
                )
        rows += count
        yield VisibilityChunk(*(tensor.detach().cpu() for tensor in chunk))
    if not rows:
        raise MetaoptError("There is no visibility to write; give at least one chunk with rows.")


def chunk_of(
    uvw: np.ndarray, values: np.ndarray, weights: np.ndarray, time: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]
) -> VisibilityChunk:
    """Make a chunk of arrays: what is not finite or has no positive weight counts nothing.

    Args:
        uvw: (V, 3) in metres.
        values: (V, F) complex.
        weights: (V, F).
        time: (V,) in seconds.
        pairs: The two antennas, (V,) each.

    Returns:
        The chunk.
    """
    numbers = np.float64 if values.dtype == np.complex128 else np.float32
    good = np.isfinite(values) & np.isfinite(weights) & (weights > 0) & np.isfinite(uvw).all(1, keepdims=True)
    return VisibilityChunk(
        torch.from_numpy(np.nan_to_num(np.ascontiguousarray(uvw, np.float64))),
        torch.from_numpy(np.where(good, values, 0).astype(values.dtype)),
        torch.from_numpy(np.where(good, weights, 0).astype(numbers)),
        torch.from_numpy(np.array(time, np.float64)),
        *(torch.from_numpy(np.array(numbers, np.int64)) for numbers in pairs),
    )

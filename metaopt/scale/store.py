"""Hold the state of a run in a folder of zarr arrays, of which every finished step is a checkpoint."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core import MetaoptError, tree
from ..foundation.extras import require
from ..operators.reach import Window
from .layout import Layout, Place, check_same
from .sweep import Tiles

FORMAT = 1


@dataclass(frozen=True, eq=False)
class StoredLevel:
    """Hold the state between two stages in zarr arrays, one for each tensor, in chunks that divide a tile.

    Args:
        folder: The folder of the run.
        name: The folder of this level within it.
        layout: The layout of the state.
        tiles: How x is cut.
        done: The number that the run records once the level is whole; None: it is recorded elsewhere.
        kept: Whether it stays, so that a run for more steps can go on from it.
    """

    folder: str
    name: str
    layout: Layout
    tiles: Tiles
    done: int | None = None
    kept: bool = False

    def open(self, stop: int) -> None:
        """Make empty arrays, in the place of those that a run which was cut off has left."""
        shutil.rmtree(self._path, ignore_errors=True)
        group = require("zarr", "scale").open_group(str(self._path), mode="w")
        whole = tuple(slice(0, n) for n in self.tiles.shape)
        for i, place in enumerate(self.layout.places):
            make_array(group, str(i), place.shape(whole), place.example, self._chunks(place))

    def read(self, window: Window) -> Any:
        """Return the state of a window."""
        parts = [
            to_tensor(self.array(i)[place.entries(window)], place.example) for i, place in enumerate(self.layout.places)
        ]
        return tree.fill(self.layout.example, parts)

    def write(self, window: Window, parts: Sequence[Tensor]) -> None:
        """Store the tensors of a window.

        Raises:
            MetaoptError: One that no axis of x belongs to differs from tile to tile.
        """
        for i, (place, part) in enumerate(zip(self.layout.places, parts, strict=True)):
            array = self.array(i)
            if place.factors is None and array.nchunks_initialized == array.nchunks:
                check_same(to_tensor(array[...], part), part)
            else:
                array[place.entries(window)] = part.detach().cpu().numpy()

    def close(self, stop: int) -> None:
        """Record that the level is whole."""
        if self.done is not None:
            record(self.folder, {"done": self.done})

    def drop(self, before: int) -> None:
        """Delete the level, when nothing of it is needed any more."""
        if before >= self.tiles.shape[0] and not self.kept:
            shutil.rmtree(self._path, ignore_errors=True)

    def check_whole(self) -> None:
        """Raise if a chunk is missing.

        Raises:
            MetaoptError: One is, or an array cannot be read.
        """
        for i in range(len(self.layout.places)):
            try:
                array = self.array(i)
                missing = array.nchunks - array.nchunks_initialized
            except (OSError, ValueError, KeyError) as error:
                raise MetaoptError(
                    f"{self._path} cannot be read ({error}); delete {self.folder}, and start again."
                ) from error
            if missing:
                raise MetaoptError(
                    f"{self._path} lacks {missing} of {array.nchunks} chunks, so the run cannot go on; delete "
                    f"{self.folder}, and start again."
                )

    @property
    def size(self) -> int:
        """Return the bytes of the level."""
        whole = tuple(slice(0, n) for n in self.tiles.shape)
        return sum(torch.Size(p.shape(whole)).numel() * p.example.element_size() for p in self.layout.places)

    @property
    def _path(self) -> Path:
        return Path(self.folder) / self.name

    def array(self, i: int) -> Any:
        """Return the array of a tensor."""
        array = require("zarr", "scale").open_array(str(self._path / str(i)), mode="r+")
        return array.with_config({"write_empty_chunks": True})  # a chunk that is not there was never computed

    def _chunks(self, place: Place) -> tuple[int, ...]:
        """Divide a tile in up to 4 along each axis, so that its neighbours need not read all of it for a halo."""
        shape = place.shape(tuple(slice(0, n) for n in self.tiles.shape))
        if place.factors is None:
            return tuple(max(1, n) for n in shape)
        sides = [s // f for s, f in zip(self.tiles.sides, place.factors, strict=True)]
        parts = [s // next(n for n in (4, 3, 2, 1) if s % n == 0) for s in sides]
        last = len(shape) - place.after
        return tuple(max(1, n) for n in (*shape[: last - len(parts)], *parts, *shape[last:]))


def make_array(group: Any, name: str, shape: Sequence[int], example: Tensor, chunks: Sequence[int]) -> Any:
    """Make a zarr array without compression.

    Args:
        group: The zarr group.
        name: The name of the array.
        shape: Its shape.
        example: A tensor of its dtype.
        chunks: The shape of a chunk.

    Returns:
        The array.

    Raises:
        MetaoptError: NumPy has no such dtype.
    """
    try:
        dtype = example.detach().cpu().numpy().dtype
    except TypeError as error:
        raise MetaoptError(f"A state of {example.dtype} cannot be stored; run the network in float32.") from error
    return group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(min(c, max(1, n)) for c, n in zip(chunks, shape, strict=True)),
        dtype=dtype,
        compressors=None,  # states are noise to a compressor
        overwrite=True,
    )


def to_tensor(values: Any, example: Tensor) -> Tensor:
    """Return what was read of an array as a tensor of the example's dtype and device."""
    return torch.as_tensor(values).to(example.device, example.dtype)


def record(folder: str, facts: dict[str, Any]) -> None:
    """Record facts of a run in its folder, at once or not at all."""
    require("zarr", "scale").open_group(folder, mode="r+").attrs.update(facts)


def begin(folder: str, run: str, need: int) -> dict[str, Any]:
    """Open the folder of a run, or make it.

    Args:
        folder: The folder.
        run: The digest of the run.
        need: The bytes that it will need.

    Returns:
        What is recorded of the run: ``done``, the number of the last level that is whole, or -1.

    Raises:
        MetaoptError: The folder is of another run or holds something else, or its disk has too little room.
    """
    zarr, path = require("zarr", "scale"), Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        try:
            facts = dict(zarr.open_group(folder, mode="r").attrs)
        except (OSError, ValueError, KeyError, TypeError):
            facts = {}
        if "metaopt_run" not in facts:
            raise MetaoptError(f"{folder} is not the folder of a run, and is not empty; give another.")
        if (facts["metaopt_run"], facts.get("format")) != (run, FORMAT):
            raise MetaoptError(
                f"{folder} is of another run: its network, problem, tiles or precision differ. Give another folder, or "
                "delete that one."
            )
        return facts
    path.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(path).free) < need:
        raise MetaoptError(
            f"The run needs {need / 1e9:.3g} GB in {folder}, whose disk has {free / 1e9:.3g} GB free; give another."
        )
    facts = {"metaopt_run": run, "format": FORMAT, "done": -1}
    zarr.open_group(folder, mode="a").attrs.update(facts)
    return facts


def digest(*parts: Any) -> str:
    """Return a digest of modules, problems and settings: of their kinds and of all numbers in them."""
    found = hashlib.sha256()
    for part in parts:
        found.update(_kind(part).encode())
        for name, tensor in tree.named_leaves(part, "part"):
            found.update(f"{name} {tree.describe(tensor)}".encode())
            found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _kind(part: Any) -> str:
    """Return in words what something is, tensors apart."""
    if isinstance(part, nn.Module):
        return re.sub(r" at 0x\w+", "", repr(part))
    if isinstance(part, tuple | list):
        return f"({', '.join(map(_kind, part))})"
    if is_dataclass(part):
        return f"{type(part).__name__}({', '.join(_kind(getattr(part, f.name)) for f in fields(part))})"
    return repr(part) if isinstance(part, str | int | float | None) else type(part).__name__

"""Keep the planes that are reconstructed already, in memory or in a folder from which a run can go on."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core import MetaoptError
from ...files import locked, make_folder

SETTINGS = "settings.json"


class Store:
    """Hold arrays with an entry a plane, and which planes are done.

    Args:
        count: Number of planes.
        folder: Where the arrays are. None: in memory.
    """

    def __init__(self, count: int, folder: Path | None = None):
        self.folder = folder
        self._arrays: dict[str, np.ndarray] = {}
        self.done = self.array("done", (count,), np.uint8)

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """Return the array of a name, as it was left, or of zeros at first.

        Args:
            name: Its name.
            shape: Its shape.
            dtype: Its type.
        """
        if name not in self._arrays:
            self._arrays[name] = np.zeros(shape, dtype) if self.folder is None else self._mapped(name, shape, dtype)
        return self._arrays[name]

    def _mapped(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        assert self.folder is not None
        path = self.folder / f"{name}.npy"
        if path.exists():
            return np.lib.format.open_memmap(path, "r+")
        try:
            return np.lib.format.open_memmap(path, "w+", dtype, shape)
        except OSError as error:
            raise MetaoptError(
                f"{path} cannot be written ({error.strerror or error}); free some room, or write elsewhere."
            ) from error

    @property
    def missing(self) -> list[int]:
        """The planes that are not done."""
        return np.flatnonzero(self.done == 0).tolist()


def folder_of(out: Path) -> Path:
    """Return the hidden folder that holds what is done of a file that is being made.

    Args:
        out: The file.
    """
    return out.with_name(f".{out.name}.partial")


@contextlib.contextmanager
def resumable(out: Path, count: int, settings: Mapping[str, Any]) -> Iterator[Store]:
    """Hold a store beside the file that is being made; it goes on where the same settings were interrupted.

    The folder stays after an interruption alone. After success and after any error it is removed.

    Args:
        out: The file that is being made.
        count: Number of planes.
        settings: All that the planes depend on, as JSON holds it. What was left by others is not used, but removed.

    Returns:
        A context manager that gives the store.

    Raises:
        MetaoptError: The folder cannot be written, or another process writes the same file.
    """
    folder, text, keep = folder_of(out), json.dumps(settings, sort_keys=True), False
    make_folder(folder)
    try:
        with locked(folder, f"reconstructs {out.name} and keeps its planes there", "write to another file"):
            if not _is_left_by(folder, text):
                for path in (path for path in folder.iterdir() if path.suffix in (".npy", ".json")):
                    path.unlink()
                (folder / ".gitignore").write_text("*\n")
                (folder / SETTINGS).write_text(text)
            try:
                yield Store(count, folder)
            except KeyboardInterrupt:
                keep = True
                raise
    except OSError as error:
        raise MetaoptError(f"{folder} cannot be written ({error.strerror or error}); write elsewhere.") from error
    except MetaoptError as error:
        keep = "is in use" in str(error)
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _is_left_by(folder: Path, text: str) -> bool:
    try:
        return (folder / SETTINGS).read_text() == text
    except (OSError, UnicodeDecodeError):
        return False

"""Files that are never found half-written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .core.errors import MetaoptError


@contextlib.contextmanager
def replacing(path: Path, keep: bool = True) -> Iterator[BinaryIO]:
    """A file beside ``path`` that takes its place once it is complete, and leaves no trace where it fails.

    With ``keep=False`` it is only tried out whether ``path`` could be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep:
            os.replace(part, path)
    except OSError as error:
        cause = error.strerror or error
        raise MetaoptError(f"{path} cannot be written ({cause}); free some room, or write elsewhere.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def make_folder(path: Path) -> Path:
    """``path``, which is a folder now."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = error.strerror or error
        raise MetaoptError(f"The folder {path} cannot be made ({cause}); choose another folder.") from error
    return path

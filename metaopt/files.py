"""Write files so that nobody finds them half-written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .core.errors import MetaoptError


@contextlib.contextmanager
def replacing(path: Path, keep: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``, and move it to ``path`` once it is complete.

    After a failure, ``path`` is as before and the temporary file is removed.

    Args:
        path: The file to write or replace.
        keep: Whether to move the file to ``path``. With False the call only tests that ``path`` could be written.

    Returns:
        A context manager that gives the open binary file.

    Raises:
        MetaoptError: The file cannot be written.
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
    """Make the folder ``path`` with its parents if it does not exist, and return it.

    Args:
        path: The folder.

    Returns:
        ``path``.

    Raises:
        MetaoptError: The folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = error.strerror or error
        raise MetaoptError(f"The folder {path} cannot be made ({cause}); choose another folder.") from error
    return path

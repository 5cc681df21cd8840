"""Write HDF5 into an open file, and report what fails there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO


class LateErrors:
    """Pass all on to a file, and keep its first error for :func:`late_errors`.

    HDF5 writes most when it closes a file, and cannot fail then: on a full disk it leaves the file half open, tries
    again when Python collects it, and prints tracebacks. Here every call succeeds as far as HDF5 can see.

    Args:
        file: A binary file that is open for reading and writing.
    """

    def __init__(self, file: BinaryIO):
        self.file = file
        self.error: OSError | None = None

    def _tried(self, call: Callable[..., Any], otherwise: int, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            self.error = self.error or error
            return otherwise

    def read(self, size: int = -1) -> bytes:
        return self._tried(self.file.read, 0, size) or b""

    def write(self, data: Any) -> int:
        return self._tried(self.file.write, len(data), data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._tried(self.file.seek, offset, offset, whence)

    def tell(self) -> int:
        return self._tried(self.file.tell, 0)

    def truncate(self, size: int | None = None) -> int:
        return self._tried(self.file.truncate, size or 0, size)

    def flush(self) -> None:
        self._tried(self.file.flush, 0)


@contextlib.contextmanager
def late_errors(file: BinaryIO) -> Iterator[LateErrors]:
    """Give a file for ``h5py.File``, and raise its first error once that is closed.

    Args:
        file: A binary file that is open for reading and writing.

    Returns:
        A context manager, to be entered before that of ``h5py.File``.

    Raises:
        OSError: Something could not be written.
    """
    kept = LateErrors(file)
    try:
        yield kept
    except Exception:
        if kept.error is None:
            raise
    if kept.error is not None:
        raise kept.error

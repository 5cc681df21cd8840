"""Write files so that nobody finds them half-written, read no more than a file should hold, and lock folders."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .core.errors import MetaoptError

LOCK = ".lock"
_PART = re.compile(r"\..+\.(\d+)(-[0-9a-f]+-[0-9a-f]+)?\.part")  # the process, its thread and 8 random digits
_ORPHANS = 10.0  # seconds in which the children of a killed process end, and with them its lock


@contextlib.contextmanager
def replacing(path: Path, keep: bool = True, previous: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``, and move it to ``path`` once it is complete.

    After a failure, ``path`` is as before and the temporary file is removed. Threads and processes that write the same
    file at the same time each write a temporary file of their own; ``path`` is then that of the last.

    Args:
        path: The file to write or replace.
        keep: Whether to move the file to ``path``. With False the call only tests that ``path`` could be written.
        previous: Where the file that was at ``path`` is moved. None: it is replaced.

    Returns:
        A context manager that gives the open binary file.

    Raises:
        MetaoptError: The file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident():x}-{secrets.token_hex(4)}.part")
    try:
        with part.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep and previous is not None:
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, previous)
        if keep:
            os.replace(part, path)
    except OSError as error:
        cause = error.strerror or error
        raise MetaoptError(f"{path} cannot be written ({cause}); free some room, or write elsewhere.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def check_output(path: Path, *read: Path | None) -> None:
    """Check, before long work, that a file can be written and is none of those that are read, by whatever name.

    Args:
        path: The file to write.
        read: The files that are read. None: none.

    Raises:
        MetaoptError: It is a folder, its folder is missing, nothing can be written there, or it would replace what is
            read.
    """
    if path.is_dir():
        raise MetaoptError(f"{path} is a folder; name a file to write.")
    if not path.parent.is_dir():
        raise MetaoptError(f"The folder {path.parent} of {path.name} does not exist; make it, or write elsewhere.")
    check_apart(path, *read)
    with replacing(path, keep=False):
        pass


def check_apart(path: Path, *read: Path | None) -> None:
    """Check that a file to write is none of those that are read, also by a link.

    Args:
        path: The file to write.
        read: The files that are read. None: none.

    Raises:
        MetaoptError: It is one of them.
    """
    for other in filter(None, read):
        try:
            same = os.path.samefile(path, other)
        except (OSError, ValueError):  # one is missing, or its name is none
            same = False
        if same:
            what = path if path == other else f"{path}, the same file as {other},"
            raise MetaoptError(f"{what} is read, and would be lost; write to another file.")


@contextlib.contextmanager
def named_errors(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a reader of foreign files raises, which may be of any type, into a sentence about ``path``.

    Args:
        path: The file.
        what: What it should hold, such as "k-space".

    Returns:
        A context manager.

    Raises:
        MetaoptError: Something was raised. A sentence of this library gets the path before it, if it has it not yet.
    """
    try:
        yield
    except MetaoptError as error:
        own = str(error).startswith((str(path), "This needs "))
        raise (error if own else MetaoptError(f"{path} {error}")) from error.__cause__
    except FileNotFoundError:
        raise MetaoptError(f"{path} does not exist; check its name.") from None
    except PermissionError as error:
        raise MetaoptError(f"{path} cannot be opened ({error.strerror}); check its permissions.") from error
    except MemoryError:
        raise MetaoptError(f"{path} does not fit into memory; cut its {what} into pieces.") from None
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise MetaoptError(
            f"{path} is damaged, cut short, or holds no {what} ({said}); copy or save it again."
        ) from error


def clear_parts(folder: Path) -> None:
    """Remove the temporary files of :func:`replacing` whose process is gone; those of a living one are left to it.

    Args:
        folder: The folder in which they are.
    """
    for path in folder.glob(".*.part"):
        found = _PART.fullmatch(path.name)
        if found and not _is_alive(int(found[1])):
            path.unlink(missing_ok=True)


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
    except (OSError, ValueError) as error:  # ValueError for a name with a null character
        cause = getattr(error, "strerror", None) or error
        raise MetaoptError(f"The folder {path} cannot be made ({cause}); choose another folder.") from error
    return path


def open_input(path: Path) -> BinaryIO:
    """Open a file to be read, without waiting where it is a named pipe: one that nobody writes to has 0 bytes.

    Args:
        path: The file.

    Returns:
        The open file.

    Raises:
        OSError: It cannot be opened.
        ValueError: The name has a null character.
    """
    file = open(path, "rb", opener=_at_once)  # noqa: SIM115 - its user closes it
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(file.fileno(), True)  # what a pipe's writer has not written yet is waited for
    return file


def _at_once(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a file that holds at most ``most`` bytes, and never read more, even from a device.

    Args:
        path: The file.
        most: The largest size in bytes.

    Returns:
        The content.

    Raises:
        MetaoptError: The file is larger.
        OSError: It cannot be read.
    """
    try:
        with open_input(path) as file:
            data = read_at_most(file, most + 1)
    except ValueError as error:  # a name with a null character
        raise OSError(f"{str(path)!r} is no name of a file: {error}") from error
    if len(data) > most:
        raise MetaoptError(f"{path} has more than {most:,} bytes, which no such file needs; is it another file?")
    return data


def read_at_most(file: BinaryIO, most: int) -> bytes:
    """Return at most ``most`` bytes, piece by piece, because a single call would claim memory for ``most`` of them.

    Args:
        file: The open file.
        most: The largest number of bytes.

    Returns:
        The bytes.
    """
    data = bytearray()
    while len(data) < most and (piece := file.read(min(most - len(data), 1 << 20))):
        data += piece
    return bytes(data)


@contextlib.contextmanager
def locked(folder: Path, use: str = "trains in it", instead: str = "choose another folder") -> Iterator[None]:
    """Hold a folder for one writer: a second one, in this process or another, is refused while the first holds it.

    The operating system releases the lock of a process that ended in any way, so that no lock is ever left behind.
    Where the file system or the operating system has no locks (``flock``), nothing is locked.

    Args:
        folder: The folder, which exists.
        use: What its writer does, for the error.
        instead: What to do besides waiting, for the error.

    Returns:
        A context manager.

    Raises:
        MetaoptError: Another writer holds the folder; the message says which process.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path, file, does = folder / LOCK, None, f"{use}; wait until it ends, end it, or {instead}"
    try:
        give_up = time.monotonic() + _ORPHANS
        while file is None:
            file = _lock(path, fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB, give_up, does)
        yield
    finally:
        if file is not None and file >= 0:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(file)


def _lock(path: Path, lock: Callable[[int, int], object], how: int, give_up: float, does: str) -> int | None:
    """Return the descriptor of the locked file, -1 where there are no locks, or None where to try again."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError as error:
        raise MetaoptError(f"{path} cannot be written ({error.strerror}); choose another folder.") from error
    try:
        lock(file, how)
    except BlockingIOError:
        holder = os.read(file, 200).decode(errors="replace").split()
        os.close(file)
        here = len(holder) == 2 and holder[1] == socket.gethostname() and holder[0].isdecimal()
        if here and not _is_alive(int(holder[0])) and time.monotonic() < give_up:
            time.sleep(0.1)
            return None
        who = f"process {holder[0]} on {holder[1]}" if len(holder) == 2 else "another process"
        raise MetaoptError(f"{path.parent} is in use: {who} {does}.") from None
    except OSError:
        os.close(file)
        return -1
    if not path.exists() or os.fstat(file).st_ino != path.stat().st_ino:  # its last holder removed it meanwhile
        os.close(file)
        return None
    with contextlib.suppress(OSError):  # on a full disk the lock holds, but does not say whose it is
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()} {socket.gethostname()}".encode())
    return file


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 would interrupt the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def numpy_header(file: Any) -> tuple[tuple[int, ...], bool, Any]:
    """Read the header of a NumPy array: its shape, whether its first axis is the fastest, and its dtype.

    Args:
        file: A binary file at the beginning of the array.

    Raises:
        MetaoptError: The version is unknown, or the shape is none, in words that :func:`named_errors` completes.
    """
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise MetaoptError(f"has a NumPy array of version {version}, which no array of numbers needs; save it again.")
    shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    if any(size < 0 for size in shape):
        raise MetaoptError(f"has an array of shape {shape}, which none can have; save it again.")
    return tuple(shape), fortran, dtype

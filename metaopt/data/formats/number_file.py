"""Read text files of whitespace-separated numbers at once, and name the line of an error."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ...core import MetaoptError
from ...files import read_at_most, read_bytes
from ...foundation.literals import NORMAL, first_lost, refusal

PIECE = 1 << 22  # bytes that are parsed at once
LARGEST = 1 << 30  # bytes of a file

_SPACE = np.isin(np.arange(256), list(b" \t\n\r\v\f"))
_COMMENT = re.compile(rb"(?m)(#|//)[^\r\n]*|^[ \t]*[cC](?=[ \t\r\n]|\Z)[^\r\n]*")
_NUMBER = re.compile(rb"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class NumberFile:
    """Hold the numbers of a file after its heading, in order.

    Args:
        path: The file, for error messages.
        values: (n,) float64.
        text: The whole file, in which lines are counted when an error is reported.
        heading: Number of words before the first number.
    """

    path: Path
    values: np.ndarray
    text: bytes = field(repr=False)
    heading: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def error(self, index: int, message: str) -> MetaoptError:
        """Return an error about number ``index``, which names the file and the line.

        Args:
            index: The number's index. One after the last number stands for the end of the file.
            message: What is wrong.

        Returns:
            The error, to be raised.
        """
        words = re.finditer(rb"\S+", self.text)
        word = next(itertools.islice(words, self.heading + index, None), None)
        end = word.start() if word else len(self.text.rstrip())
        return MetaoptError(f"{self.path}, line {self.text.count(10, 0, end) + 1}: {message}")

    def whole(self, index: int, what: str, low: int = 0) -> int:
        """Return number ``index`` as an integer.

        Args:
            index: The number's index.
            what: What the number means, for error messages.
            low: The least value that it can have.

        Returns:
            The integer.

        Raises:
            MetaoptError: The number is missing, not whole, or below ``low``.
        """
        if index >= len(self):
            raise self.error(index, f"the file ends before {what}; it was probably not copied whole.")
        value = self.values[index]
        if not (value >= low and value == np.floor(value) and value < 2**53):
            raise self.error(index, f"{what} is {value:g}, but has to be a whole number of at least {low}.")
        return int(value)

    def end(self, index: int) -> None:
        """Check that there is no number ``index``.

        Args:
            index: The index after the last number.

        Raises:
            MetaoptError: Numbers are left over.
        """
        if index < len(self):
            left = len(self) - index
            raise self.error(index, f"{left} more numbers stand after the last one that belongs to it; remove them.")


def read_text(path: str | Path) -> bytes:
    """Return the bytes of a file.

    Args:
        path: The file.

    Returns:
        The bytes.

    Raises:
        MetaoptError: The file is missing or cannot be read.
    """
    try:
        data = read_bytes(Path(path), LARGEST)
    except OSError as error:
        raise MetaoptError(
            f"{path} cannot be read ({error.strerror or error}); check its name and permissions."
        ) from error
    return _unpacked(path, data)


def read_words(path: str | Path) -> bytes:
    """Return the text of a file of words, with blanks in the place of what is none.

    That is a byte-order mark, and comments: from ``#`` or ``//`` to the end of the line, and lines whose first word is
    ``c``. Lines stay where they are.

    Args:
        path: The file.

    Returns:
        The text, in which bytes that are not ASCII are as in the file.

    Raises:
        MetaoptError: The file cannot be read, or is no text.
    """
    text = read_text(path)
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if text.startswith(mark):
            text = text.decode(encoding, "replace").encode()
    text = text.removeprefix(codecs.BOM_UTF8)
    if b"\0" in text or text.startswith(b"\x89PNG"):
        line = text.count(10, 0, max(0, text.find(b"\0"))) + 1
        raise MetaoptError(
            f"{path}, line {line}: this is no text, but binary data; check that it is the right file, copied whole."
        )
    return _COMMENT.sub(lambda found: b" " * len(found[0]), text)


def _unpacked(path: str | Path, data: bytes) -> bytes:
    """Return what a file compressed by gzip or bzip2 holds; its first bytes say so, whatever its name is."""
    for magic, name, opened in ((b"\x1f\x8b\x08", "gzip", gzip.open), (b"BZh", "bzip2", bz2.open)):
        if data.startswith(magic):
            try:
                with opened(io.BytesIO(data)) as file:
                    unpacked = read_at_most(cast(BinaryIO, file), LARGEST + 1)
            except (OSError, EOFError, ValueError, zlib.error) as error:
                raise MetaoptError(
                    f"{path} looks compressed by {name}, but is damaged or cut off ({error})."
                ) from error
            if len(unpacked) > LARGEST:
                raise MetaoptError(f"{path} holds more than {LARGEST:,} bytes, which no such file needs.")
            return unpacked
    return data


def read_number_file(path: str | Path, headings: tuple[str, ...] = ()) -> tuple[str, NumberFile]:
    """Read the heading of a file and the numbers after it.

    Args:
        path: The file.
        headings: The words with which the file may start. Empty: it has no heading.

    Returns:
        The heading (the empty string where there is none), and the numbers.

    Raises:
        MetaoptError: The file cannot be read, has another heading, or has a word that is not a number.
    """
    text = read_words(path)
    word = re.match(rb"\s*(\S{1,64})", text) if headings else None
    heading = word[1].decode("ascii", "replace").upper() if word else ""
    if headings and heading not in headings:
        found = repr(heading[:40]) if heading else "nothing"
        raise MetaoptError(f"{path}, line 1: the file starts with {found}, but has to with {' or '.join(headings)}.")
    body = text[word.end() :] if word else text
    none = NumberFile(Path(path), np.empty(0), text, int(bool(headings)))
    return heading, NumberFile(none.path, _parse(body, none), text, none.heading)


def _pieces(body: bytes) -> Iterator[bytes]:
    """Divide a text between words, so that the words of one piece fit into memory."""
    start = 0
    while start < len(body):
        found = re.compile(rb"\s").search(body, start + PIECE)
        end = found.start() if found else len(body)
        yield body[start:end]
        start = end


def _check_kept(body: bytes, values: np.ndarray, place: NumberFile) -> None:
    """Raise if a number became 0 or infinite, or far from what is written, because it is beyond float64."""
    start, size = 0, np.abs(values)
    doubtful = (size < NORMAL) | np.isinf(size)
    for piece in _pieces(body) if doubtful.any() else ():
        words = piece.split()
        places = np.flatnonzero(doubtful[start : start + len(words)]).tolist()
        chosen = [words[i] for i in places]
        if len(places) and (lost := first_lost(chosen, values[start + np.array(places)].tolist())) is not None:
            what = refusal(chosen[lost].decode())
            raise place.error(
                start + places[lost], f"{what}, as a whole table by one factor, which changes no marginal."
            )
        start += len(words)


def _parse(body: bytes, place: NumberFile) -> np.ndarray:
    space = np.concatenate([[True], _SPACE[np.frombuffer(body, np.uint8)]])
    count = int(np.count_nonzero(space[:-1] & ~space[1:]))
    if not count:
        return np.empty(0)
    if b"_" not in body:  # Python reads "1_0" as 10
        values = None
        with contextlib.suppress(ValueError):
            values = np.concatenate([np.fromiter(map(float, piece.split()), float) for piece in _pieces(body)])
        if values is not None:
            _check_kept(body, values, place)
            return values
    for index, word in enumerate(re.finditer(rb"\S+", body)):
        if not _NUMBER.fullmatch(word[0]):
            shown = word[0][:40].decode("ascii", "replace")
            raise place.error(index, f"{shown!r} is not a number.")
    raise MetaoptError(f"{place.path} holds text that cannot be read as numbers.")

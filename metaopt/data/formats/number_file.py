"""Text files of whitespace-separated numbers: read at once, and a complaint names the line."""

from __future__ import annotations

import itertools
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...core import MetaoptError

_SPACE = np.isin(np.arange(256), list(b" \t\n\r\v\f"))
_NUMBER = re.compile(rb"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class NumberFile:
    """The numbers of a file after its heading, in order.

    Args:
        path: The file, for complaints.
        values: (n,) float64.
        text: The whole file, in which lines are counted once there is something to complain about.
        heading: How many words stand before the first number.
    """

    path: Path
    values: np.ndarray
    text: bytes = field(repr=False)
    heading: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def error(self, index: int, message: str) -> MetaoptError:
        """``message`` about number ``index`` with the file and line; after the last number, the file's last line."""
        words = re.finditer(rb"\S+", self.text)
        word = next(itertools.islice(words, self.heading + index, None), None)
        end = word.start() if word else len(self.text.rstrip())
        return MetaoptError(f"{self.path}, line {self.text.count(10, 0, end) + 1}: {message}")

    def whole(self, index: int, what: str, low: int = 0) -> int:
        """Number ``index``, which has to be there, whole, and at least ``low``."""
        if index >= len(self):
            raise self.error(index, f"the file ends before {what}; it was probably not copied whole.")
        value = self.values[index]
        if not (value >= low and value == np.floor(value) and value < 2**53):
            raise self.error(index, f"{what} is {value:g}, but has to be a whole number of at least {low}.")
        return int(value)

    def end(self, index: int) -> None:
        """Checks that number ``index`` is not there."""
        if index < len(self):
            left = len(self) - index
            raise self.error(index, f"{left} more numbers stand after the last one that belongs to it; remove them.")


def read_text(path: str | Path) -> bytes:
    """The bytes of a file.

    Raises: MetaoptError where there is none, or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise MetaoptError(f"{path} cannot be read ({error.strerror}); check its name and permissions.") from error


def read_number_file(path: str | Path, headings: tuple[str, ...] = ()) -> tuple[str, NumberFile]:
    """The heading of a file, which is one of ``headings`` (none: the empty string), and the numbers after it.

    Raises: MetaoptError where the file cannot be read, its heading is another, or a word is not a number.
    """
    text = read_text(path)
    word = re.match(rb"\s*(\S+)", text) if headings else None
    heading = word[1].decode("ascii", "replace") if word else ""
    if headings and heading not in headings:
        found = repr(heading[:40]) if heading else "nothing"
        raise MetaoptError(f"{path}, line 1: the file starts with {found}, but has to with {' or '.join(headings)}.")
    body = text[word.end() :] if word else text
    none = NumberFile(Path(path), np.empty(0), text, int(bool(headings)))
    return heading, NumberFile(none.path, _parse(body, none), text, none.heading)


def _parse(body: bytes, place: NumberFile) -> np.ndarray:
    space = np.concatenate([[True], _SPACE[np.frombuffer(body, np.uint8)]])
    count = int(np.count_nonzero(space[:-1] & ~space[1:]))
    if not count:
        return np.empty(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # NumPy's way to say that it met something else
        try:
            values = np.fromstring(body, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.empty(0)
    if len(values) == count:  # "1-2" would be read as two
        return values
    for index, word in enumerate(re.finditer(rb"\S+", body)):
        if not _NUMBER.fullmatch(word[0]):
            shown = word[0][:40].decode("ascii", "replace")
            raise place.error(index, f"{shown!r} is not a number.")
    raise MetaoptError(f"{place.path} holds text that cannot be read as numbers.")

"""Describe the known data sets: where their makers serve them, under which licence, and their digests.

Each data set is described by a file ``NAME.json`` in the folder ``registry``, and is stored as ``NAME/`` in a folder of
data. An entry has a ``title``, ``use``, ``licence``, ``origin``, possibly a ``note``, and ``files`` with ``path``,
``size`` in bytes and ``sha256``. A file is served at its ``path`` relative to the ``url`` of the entry, or at ``from``
where that is given. Where ``from`` is null, ``by_hand`` says how to get it. An entry without files was derived from its
origin, as ``by_hand`` explains.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin

from ..arguments.contracts import checked
from ..core import MetaoptError
from ..files import read_bytes
from ..foundation.literals import parse_json

LARGEST = 2**24  # bytes of an entry
REGISTRY = Path(__file__).parent / "registry"


@checked
@dataclass(frozen=True)
class SourceFile:
    """Describe one file of a data set.

    Args:
        path: Its path in the folder of its data set, with slashes.
        size: Its size in bytes.
        sha256: Its digest, 64 hexadecimal digits.
        url: The address at which it is served, or None where it has to be obtained by hand.
    """

    path: str
    size: int
    sha256: str
    url: str | None = None


@checked
@dataclass(frozen=True)
class Source:
    """Describe a data set and where it comes from.

    Args:
        name: Its folder in a folder of data, such as ``natural/set5``.
        title: What it holds.
        use: What it is used for here.
        licence: Its licence as its makers state it, or that they state none.
        origin: Who serves it, at which commit or release.
        note: What else a user has to know, or an empty string.
        by_hand: How to get what is not served, or an empty string.
        files: Its files; none where it was derived from its origin.
    """

    name: str
    title: str
    use: str
    licence: str
    origin: str
    note: str = ""
    by_hand: str = ""
    files: tuple[SourceFile, ...] = ()

    @property
    def size(self) -> int:
        """Return the size of all files in bytes."""
        return sum(file.size for file in self.files)


def source_names() -> list[str]:
    """Return the names of all data sets in the registry, sorted."""
    found = REGISTRY.rglob("*.json")
    return sorted(file.relative_to(REGISTRY).with_suffix("").as_posix() for file in found)


@checked
def read_source(name: str) -> Source:
    """Return the data set of a name.

    Args:
        name: One of :func:`source_names`; a slash at the end is ignored.

    Returns:
        The data set.

    Raises:
        MetaoptError: There is none of that name (the message lists similar names), or its entry is damaged.
    """
    if not isinstance(name, str):
        raise MetaoptError(f"A data set is known by its name, a text, not by {name!r:.80}.")
    name, names = name.rstrip("/"), source_names()
    if name not in names:
        close = [full for full in names if name in PurePosixPath(full).parts] or difflib.get_close_matches(name, names)
        say = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}."
        raise MetaoptError(f"No data set is called {name!r}; {say}")
    path = REGISTRY / f"{name}.json"
    try:
        return _source(name, parse_json(read_bytes(path, LARGEST)))
    except MetaoptError:
        raise
    except Exception as error:  # a broken entry can raise almost anything
        raise MetaoptError(f"{path} is no entry of a data set: {type(error).__name__}: {error}.") from error


def _source(name: str, entry: dict[str, Any]) -> Source:
    base = entry.pop("url", "")
    files = tuple(
        SourceFile(file["path"], file["size"], file["sha256"], _address(base, file.get("from", file["path"])))
        for file in entry.pop("files")
    )
    source = Source(name, **entry, files=files)
    for file in files:
        parts = PurePosixPath(file.path).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in file.path:
            raise ValueError(f"the path {file.path!r:.80} leads out of the folder")
        if type(file.size) is not int or file.size < 0 or not re.fullmatch("[0-9a-f]{64}", file.sha256):
            raise ValueError(f"{file.path:.80} has no size or no digest")
    if not all(isinstance(value, str) for key, value in vars(source).items() if key != "files"):
        raise ValueError("what it says are no texts")
    return source


def _address(base: str, place: str | None) -> str | None:
    return urljoin(base, quote(place, safe="/:")) if base and place is not None else None

"""The data sets that the library knows of: where their makers serve them, under which licence, and their digests.

Each is a file of the folder ``registry``, ``NAME.json``, and lies in a folder of data as ``NAME/``. An entry has a
``title``, ``use``, ``licence`` and ``origin``, a ``note`` where one has to know more, and ``files`` with ``path``,
``size`` in bytes and ``sha256``. A file is served at its ``path`` relative to the ``url`` of the entry, or at ``from``
where that says otherwise; where ``from`` is null, ``by_hand`` says how to get it. An entry without files was made from
its origin, as ``by_hand`` says.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urljoin

from ..core import MetaoptError

REGISTRY = Path(__file__).parent / "registry"


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set.

    Args:
        path: Where it lies in the folder of its data set, with slashes.
        size: Its bytes.
        sha256: Its digest, 64 hexadecimal digits.
        url: The address it is served at, or None where it has to be brought by hand.
    """

    path: str
    size: int
    sha256: str
    url: str | None = None


@dataclass(frozen=True)
class Source:
    """A data set and where it comes from.

    Args:
        name: Its folder in a folder of data, such as ``natural/set5``.
        title: What it holds.
        use: What it is meant for.
        licence: Its licence as stated, or that none is.
        origin: Who serves it, at which commit or release.
        note: What else one has to know, or "".
        by_hand: How to get what is not served, or "".
        files: Its files; none where it was made from its origin.
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
        """The bytes of all files."""
        return sum(file.size for file in self.files)


def source_names() -> list[str]:
    """The names of all data sets, in order."""
    found = REGISTRY.rglob("*.json")
    return sorted(file.relative_to(REGISTRY).with_suffix("").as_posix() for file in found)


def read_source(name: str) -> Source:
    """The data set called ``name``; a slash at the end is taken as well.

    Raises: MetaoptError where there is none of that name: it names those that are close.
    """
    name, names = name.rstrip("/"), source_names()
    if name not in names:
        close = [full for full in names if name in PurePosixPath(full).parts] or difflib.get_close_matches(name, names)
        say = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}."
        raise MetaoptError(f"No data set is called {name!r}; {say}")
    entry = json.loads((REGISTRY / f"{name}.json").read_text(encoding="utf-8"))
    base = entry.pop("url", "")
    files = tuple(
        SourceFile(file["path"], file["size"], file["sha256"], _address(base, file.get("from", file["path"])))
        for file in entry.pop("files")
    )
    return Source(name, **entry, files=files)


def _address(base: str, place: str | None) -> str | None:
    return urljoin(base, quote(place, safe="/:")) if base and place is not None else None

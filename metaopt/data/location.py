"""Locate data, none of which is part of the package: ``METAOPT_DATA`` names the folder that holds it."""

from __future__ import annotations

import os
from pathlib import Path

from ..arguments.contracts import checked
from ..core import MetaoptError
from .sources import source_names


@checked
def data_path(relative: str | Path, root: str | Path | None = None) -> Path:
    """Return the path of ``relative`` inside the folder of data, and check that it exists.

    Args:
        relative: A folder or a file, such as ``natural/set5``. An absolute path is returned as it is.
        root: The folder of data. None: the one that the environment variable METAOPT_DATA names, or the current folder
            where that is not set.

    Returns:
        The path.

    Raises:
        MetaoptError: Nothing is at that path. The message says how to get the data set that belongs there.
    """
    path = Path(root or os.environ.get("METAOPT_DATA", ".")) / relative
    if not path.exists():
        raise MetaoptError(_missing(path, root is not None or Path(relative).is_absolute()))
    return path


def _missing(path: Path, placed: bool) -> str:
    root = os.environ.get("METAOPT_DATA", "")
    place = "" if placed else f" (METAOPT_DATA is {root})" if root else " (METAOPT_DATA is not set)"
    for name in source_names():
        before, found, _ = f"/{path.as_posix()}/".partition(f"/{name}/")
        if found:
            folder = before[1:] or "DIR"
            then = "" if before else ", then set METAOPT_DATA to DIR"
            return f"There is no {path}{place}; 'metaopt data fetch {name} --to {folder}' gets it{then}."
    remedy = "name the folder that holds it" if placed else "set METAOPT_DATA to the folder that holds the data"
    return f"There is no {path}{place}; {remedy}."

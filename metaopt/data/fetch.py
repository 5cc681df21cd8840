"""Fetch data sets: files that are there stay, and only files with the right digest count."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ..arguments.contracts import checked
from ..core import MetaoptError
from ..files import make_folder, replacing
from ..foundation.extras import require
from .download import Download
from .sources import Source, SourceFile, read_source


@checked
def fetch_source(name: str, to: str | Path | None = None) -> list[Path]:
    """Download the missing files of a data set, so that its readers find it in the folder ``to``.

    Each file appears under its name once it is complete and its sha256 digest is verified. An interrupted download
    leaves a hidden ``.part`` file, from which the next call resumes. A progress bar is shown on standard error.

    Args:
        name: One of :func:`source_names`.
        to: The folder of data, in which ``name`` becomes a folder. None: the folder that METAOPT_DATA names.

    Returns:
        The files that were downloaded, none where all were there.

    Raises:
        MetaoptError: No folder is given, the name is unknown, the folder cannot be written to, an existing file has
            another digest, the server cannot be reached, refuses, breaks off or sends something else, files have to be
            obtained by hand, or pooch is not installed.
    """
    source = read_source(name)
    root = _root(source, to)
    folder = root / source.name
    missing = [file for file in source.files if not _is_there(folder / file.path, file, source)]
    served = [file for file in missing if file.url]
    for file in served:
        make_folder((folder / file.path).parent)
    if served:
        _download(root, source, served)
        _describe(folder / "SOURCE.txt", source)
    if len(missing) > len(served) or not source.files:
        raise _by_hand(source, folder, [file.path for file in missing if not file.url])
    return [folder / file.path for file in served]


def _root(source: Source, to: str | Path | None) -> Path:
    named = to or os.environ.get("METAOPT_DATA", "")
    if not named:
        raise MetaoptError(f"Say where {source.name} goes: give --to DIR, or set METAOPT_DATA to a folder of data.")
    return Path(named).absolute()


def _is_there(path: Path, file: SourceFile, source: Source) -> bool:
    if not path.exists():
        return False
    if not path.is_file():
        raise MetaoptError(f"{path} is no file, but {source.name} has one of that name; move it away and fetch again.")
    digest = hashlib.sha256()
    try:
        digest.update(path.read_bytes())
    except OSError as error:
        raise MetaoptError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    if digest.hexdigest() != file.sha256:
        raise MetaoptError(
            f"{path} is not the file of {source.name}: its sha256 is {digest.hexdigest()}, not {file.sha256}. "
            "It was left as it is; move it away and fetch again."
        )
    return True


def _download(root: Path, source: Source, files: list[SourceFile]) -> None:
    from tqdm import tqdm

    pooch = require("pooch", "data")
    keys = {f"{source.name}/{file.path}": file for file in files}
    registry = {key: f"sha256:{file.sha256}" for key, file in keys.items()}
    store = pooch.create(root, base_url="", registry=registry, urls={key: file.url for key, file in keys.items()})
    bar = tqdm(total=sum(file.size for file in files), desc=source.name, unit="B", unit_scale=True)
    with bar, _warnings_only(pooch.get_logger()):
        for key, file in keys.items():
            try:
                store.fetch(key, downloader=Download(file, root / key, source.origin, bar.update))
            except OSError as error:
                cause = error.strerror or error
                raise MetaoptError(
                    f"{root / key} cannot be written ({cause}); free some room, or name another folder."
                ) from error


@contextlib.contextmanager
def _warnings_only(logger: logging.Logger) -> Iterator[None]:
    """Silence the logger's line for each file, which would break up the progress bar."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _describe(path: Path, source: Source) -> None:
    """Write the origin and the licence beside the data."""
    if path.exists():
        return
    text = f"What: {source.title}\nOrigin: {source.origin}\nLicence: {source.licence}\nUse: {source.use}\n"
    with replacing(path) as file:
        file.write((text + (f"Note: {source.note}\n" if source.note else "")).encode())


def _by_hand(source: Source, folder: Path, absent: list[str]) -> MetaoptError:
    few = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more files" if len(absent) > 3 else "")
    lack = f"{source.name} lacks {few}" if absent else f"{source.name} is not served as it is used here"
    return MetaoptError(f"{lack}. {source.by_hand}. The folder that it belongs into is {folder}.")

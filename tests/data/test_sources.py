"""The registry of data sets: every entry is well-formed, pinned and true of the files where these are at hand."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pytest

import metaopt as mo
from metaopt.data import Source, read_source, source_names
from metaopt.data.sources import REGISTRY

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("METAOPT_DATA") or ROOT.parent / "shared" / "data")
KEYS = {"title", "use", "licence", "origin"}
PINNED = re.compile(r"/([0-9a-f]{40}|[0-9a-f]{8}|v\d+\.\d+\.\d+)/")  # a commit, its first digits, or a release


@pytest.fixture(params=source_names())
def source(request: pytest.FixtureRequest) -> Source:
    return read_source(request.param)


def test_an_entry_says_what_has_to_be_known(source: Source) -> None:
    entry = json.loads((REGISTRY / f"{source.name}.json").read_text())
    assert KEYS | {"files"} <= set(entry) <= KEYS | {"files", "url", "note", "by_hand"}
    assert all(entry[key].strip() == entry[key] != "" for key in KEYS)
    assert all(set(file) <= {"path", "size", "sha256", "from"} for file in entry["files"])
    served = [file for file in source.files if file.url]
    assert bool(source.by_hand) == (len(served) < len(source.files) or not source.files)


def test_files_are_pinned_and_stay_in_their_folder(source: Source) -> None:
    paths = [file.path for file in source.files]
    assert len(set(paths)) == len(paths)
    for file in source.files:
        path = PurePosixPath(file.path)
        assert not path.is_absolute() and ".." not in path.parts and str(path) == file.path
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.size > 0
        if file.url:
            parts = urlsplit(file.url)
            assert parts.scheme == "https" and ".." not in parts.path and PINNED.search(parts.path)


def test_digests_and_layout_are_those_of_the_files_at_hand(source: Source) -> None:
    folder = DATA / source.name
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set METAOPT_DATA to a folder of data")
    for file in source.files:
        content = (folder / file.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256), file.path


def test_what_recipes_and_benchmarks_read_is_in_the_registry() -> None:
    code = [*(ROOT / "metaopt" / "training" / "recipes").glob("*.yaml"), *(ROOT / "benchmarks").rglob("*.py")]
    kinds = "|".join(sorted({name.partition("/")[0] for name in source_names()}))
    read = {m[1] for p in code for m in re.finditer(rf"[\"' ](({kinds})/\w+)[\"'/,}}\s]", p.read_text())}
    assert "natural/bsds500_train" in read
    assert read <= set(source_names())


def test_close_names_are_offered() -> None:
    for wrong, right in {
        "set5": "natural/set5",
        "natural/sett5": "natural/set5",
        "omniglot": "fewshot/omniglot",
    }.items():
        with pytest.raises(mo.MetaoptError, match=rf"No data set is called '{wrong}'; did you mean .*{right}"):
            read_source(wrong)

"""Where data lies, and what is said of data that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import metaopt as mo
from metaopt.data import data_path, read_mnist, read_omniglot, read_pictures, read_planetoid


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("METAOPT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def said(relative: str | Path, root: Path | None = None) -> str:
    with pytest.raises(mo.MetaoptError) as caught:
        data_path(relative, root)
    return str(caught.value)


def test_the_root_comes_before_the_variable_and_that_before_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b", "b/a", "c", "c/a"):
        (tmp_path / folder).mkdir()
    assert data_path("a").resolve() == tmp_path / "a"
    monkeypatch.setenv("METAOPT_DATA", str(tmp_path / "b"))
    assert data_path("a") == tmp_path / "b" / "a"
    assert data_path("a", tmp_path / "c") == tmp_path / "c" / "a"
    assert data_path(tmp_path / "a", tmp_path / "c") == tmp_path / "a"


def test_what_is_missing_of_a_known_data_set_comes_with_the_command_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("natural/set5") == (
        "There is no natural/set5 (METAOPT_DATA is not set); 'metaopt data fetch natural/set5 --to DIR' gets it, then "
        "set METAOPT_DATA to DIR."
    )
    file = "graphs/ldpc/mackay_96_48/G"
    get = f"'metaopt data fetch graphs/ldpc --to {tmp_path}' gets it."
    assert said(file, tmp_path) == f"There is no {tmp_path}/{file}; {get}"
    assert said(tmp_path / file) == f"There is no {tmp_path}/{file}; {get}"
    monkeypatch.setenv("METAOPT_DATA", str(tmp_path))
    assert said(file) == f"There is no {tmp_path}/{file} (METAOPT_DATA is {tmp_path}); {get}"


def test_what_belongs_to_no_data_set_is_looked_for_by_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("natural/set55").endswith(
        "(METAOPT_DATA is not set); set METAOPT_DATA to the folder that holds the data."
    )
    assert said(tmp_path / "x") == f"There is no {tmp_path}/x; name the folder that holds it."
    assert said("x", tmp_path) == f"There is no {tmp_path}/x; name the folder that holds it."
    monkeypatch.setenv("METAOPT_DATA", str(tmp_path))
    assert f"(METAOPT_DATA is {tmp_path}); set METAOPT_DATA" in said("x")


READERS = {
    "natural/set5": lambda: read_pictures("natural/set5"),
    "fewshot/omniglot": lambda: read_omniglot("fewshot/omniglot", "background"),
    "fewshot/mnist_t10k": lambda: read_mnist("fewshot/mnist_t10k"),
    "graphs/planetoid": lambda: read_planetoid("graphs/planetoid", "cora"),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_says_how_to_get_what_it_misses(name: str) -> None:
    if name == "graphs/planetoid":
        pytest.importorskip("torch_geometric")
    with pytest.raises(mo.MetaoptError, match=re.escape(f"'metaopt data fetch {name} --to DIR' gets it")):
        READERS[name]()

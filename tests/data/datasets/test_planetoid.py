"""Planetoid's files: what they hold, beside torch_geometric's reader, and pickles that want more than arrays."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

import metaopt as mo
from metaopt.data import read_planetoid

from ...real_data import real_data

pytest.importorskip("torch_geometric")


@pytest.fixture
def shared() -> Path:
    return real_data("graphs/planetoid")


def write(folder: Path, **changed: Any) -> None:
    """A path 0-1-2-3-4-6 of which nodes 3, 4 and 6 are tested, and node 5 is in no file."""
    eye = np.eye(2, dtype=np.int64)
    parts = {
        "x": csr_matrix(np.float32([[1, 0]])),
        "y": eye[[0]],
        "allx": csr_matrix(np.float32([[1, 0], [0, 2], [3, 3]])),
        "ally": eye[[0, 1, 1]],
        "tx": csr_matrix(np.float32([[6, 0], [0, 4], [3, 0]])),
        "ty": eye[[1, 0, 1]],
        "graph": {0: [1, 1, 0], 1: [0, 2], 2: [1, 3], 3: [2, 4], 4: [3, 6], 6: [4]},
    }
    for name, part in (parts | changed).items():
        (folder / f"ind.tiny.{name}").write_bytes(part if isinstance(part, bytes) else pickle.dumps(part, protocol=2))
    (folder / "ind.tiny.test.index").write_text("6\n4\n3\n")


def test_a_small_network_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    data = read_planetoid(tmp_path, "tiny")
    assert data.x.tolist() == [[1, 0], [0, 2], [3, 3], [3, 0], [0, 4], [0, 0], [6, 0]]
    assert data.y.tolist() == [0, 1, 1, 1, 0, 0, 1]
    assert data.edge_index.T.tolist() == [
        [1, 0], [0, 1], [2, 1], [1, 2], [3, 2], [2, 3], [4, 3], [3, 4], [6, 4], [4, 6],
    ]  # fmt: skip
    assert data.train_mask.nonzero().flatten().tolist() == [0]
    assert data.test_mask.nonzero().flatten().tolist() == [3, 4, 6]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("number", [1e-50, 1e39, -1e-44])
def test_features_that_float32_would_lose_are_named(tmp_path: Path, number: float, sparse: bool) -> None:
    features = np.array([[1, number]])
    write(tmp_path, tx=csr_matrix(features[[0, 0, 0]]) if sparse else features[[0, 0, 0]])
    with pytest.raises(mo.MetaoptError, match=f"the number {number:g} is beyond float32, ".replace("+", r"\+")):
        read_planetoid(tmp_path, "tiny")


def test_features_that_are_no_real_numbers_are_named(tmp_path: Path) -> None:
    write(tmp_path, tx=np.ones((3, 2), complex))
    with pytest.raises(mo.MetaoptError):
        read_planetoid(tmp_path, "tiny")


@pytest.mark.parametrize(("name", "nodes", "trained"), [("cora", 2708, 140), ("citeseer", 3327, 120)])
def test_the_real_ones_are_as_torch_geometric_reads_them(shared: Path, name: str, nodes: int, trained: int) -> None:
    from torch_geometric.io import read_planetoid_data

    ours = read_planetoid(shared, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it reads them by scipy's old names
        theirs = read_planetoid_data(str(shared), name)
    for key in ("x", "y", "edge_index", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(ours[key], theirs[key]), key
    assert len(ours.x) == nodes
    assert [int(ours[f"{part}_mask"].sum()) for part in ("train", "val", "test")] == [trained, 500, 1000]


class Attack:
    """Unpickled by pickle itself, this makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    write(tmp_path, graph=Attack(made))
    with pytest.raises(mo.MetaoptError, match=r"ind\.tiny\.graph is not read: it asks for \w+\.mkdir, which is no"):
        read_planetoid(tmp_path, "tiny")
    assert not made.exists()
    pickle.loads(pickle.dumps(Attack(made)))
    assert made.exists(), "the attack works where nobody stops it"


@pytest.mark.parametrize(
    "call",
    [b"cbuiltins\neval\n(S'1'\ntR.", b"c__builtin__\ngetattr\n.", b"cnumpy\nload\n.", b"cnumpy\nndarray.tofile\n."],
)
def test_other_names_are_refused(tmp_path: Path, call: bytes) -> None:
    write(tmp_path, x=call)
    with pytest.raises(mo.MetaoptError, match="which is no array"):
        read_planetoid(tmp_path, "tiny")


def test_files_that_are_not_those_are_named(tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match=r"There is no .*ind\.tiny\.x; name the folder"):
        read_planetoid(tmp_path, "tiny")
    write(tmp_path, tx=b"no pickle")
    with pytest.raises(mo.MetaoptError, match=r"ind\.tiny\.tx is not read"):
        read_planetoid(tmp_path, "tiny")
    write(tmp_path, tx={"a": 1})
    with pytest.raises(mo.MetaoptError, match="do not fit together"):
        read_planetoid(tmp_path, "tiny")
    write(tmp_path, graph={0: [99]})
    with pytest.raises(mo.MetaoptError, match="the graph names a node outside of 0 to 6"):
        read_planetoid(tmp_path, "tiny")
    write(tmp_path)
    (tmp_path / "ind.tiny.test.index").write_text("three")
    with pytest.raises(mo.MetaoptError, match="one whole number a line"):
        read_planetoid(tmp_path, "tiny")

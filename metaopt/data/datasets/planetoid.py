"""Planetoid's citation networks (Yang et al., arXiv:1603.08861) from their raw files, which are pickles.

A pickle can run any code. These are read by an unpickler that knows how to build arrays, dicts and lists, and refuses
everything else.
"""

from __future__ import annotations

from pathlib import Path
from pickle import Unpickler, UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core import MetaoptError
from ...core.errors import require
from ..location import data_path

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph")
VALIDATED = 500  # nodes behind those to train on


def read_planetoid(folder: str | Path, name: str) -> Any:
    """A torch_geometric ``Data``: x (nodes, F), y, edge_index without duplicates or self-loops, and the public split.

    ``folder`` holds ``ind.NAME.x`` and the other files of ``name`` ("cora", "citeseer"). ``train_mask`` has 20 nodes a
    class, ``val_mask`` the 500 behind them, ``test_mask`` 1,000. As torch_geometric does, nodes of Citeseer that no
    file mentions get features of 0 and the label 0.

    Raises: MetaoptError where a file is missing, is no such file, or holds anything but arrays.
    """
    Data = require("torch_geometric.data", "graphs").Data

    path = Path(folder) / f"ind.{name.lower()}"
    parts = {part: _read(data_path(f"{path}.{part}")) for part in PARTS}
    order = _read_indices(data_path(f"{path}.test.index"))
    try:
        x = _in_order(_dense(parts["allx"]), _dense(parts["tx"]), order)
        one_hot = _in_order(_dense(parts["ally"]), _dense(parts["ty"]), order)
        edges = _edges(parts["graph"], len(x))
        trained = len(parts["y"])
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise MetaoptError(f"The files of {name} in {data_path(folder)} do not fit together: {error}.") from error
    data = Data(x=x, edge_index=edges, y=one_hot.argmax(1))
    nodes = torch.arange(len(x))
    data.train_mask = nodes < trained
    data.val_mask = (nodes >= trained) & (nodes < trained + VALIDATED)
    data.test_mask = torch.isin(nodes, order)
    return data


class _Csr:
    """Stands for ``scipy.sparse.csr_matrix``: holds what the file says of it, and can do nothing."""


class _Arrays(Unpickler):
    """Builds arrays, sparse matrices (as :class:`_Csr`), dicts and lists, and refuses any other name in the file."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): None,  # an argument of _reconstruct, which needs it no more
            ("numpy", "dtype"): np.dtype,
            ("scipy.sparse.csr", "csr_matrix"): _Csr,
            ("scipy.sparse._csr", "csr_matrix"): _Csr,
            ("collections", "defaultdict"): _defaults,
            ("_codecs", "encode"): _bytes,
            ("copy_reg", "_reconstructor"): _instance,
            ("__builtin__", "object"): object,
            ("__builtin__", "list"): list,
        }
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _empty_array
        if (module, name) not in allowed:
            raise UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return allowed[module, name]


def _defaults(factory: Any = None) -> dict[Any, Any]:
    return {}


def _instance(kind: Any, base: Any, state: Any) -> _Csr:
    if kind is not _Csr:
        raise UnpicklingError("it asks for an object that is no array")
    return _Csr()


def _bytes(text: str, encoding: str) -> bytes:
    return text.encode("latin1")


def _empty_array(kind: Any, shape: Any, dtype: Any) -> np.ndarray:
    return np.ndarray((0,), np.uint8)


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _Arrays(file, encoding="latin1").load()
    except Exception as error:  # a broken pickle can raise almost anything
        raise MetaoptError(f"{path} is not read: {error}.") from error


def _read_indices(path: Path) -> Tensor:
    try:
        return torch.tensor([int(line) for line in path.read_text().split()])
    except ValueError as error:
        raise MetaoptError(f"{path} must hold one whole number a line: {error}.") from error


def _dense(part: Any) -> Tensor:
    if isinstance(part, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(part)).float()
    stored = vars(part)
    rows, columns = stored["_shape"]
    dense = torch.zeros(rows, columns)
    row = np.repeat(np.arange(rows), np.diff(stored["indptr"]))
    places = (torch.from_numpy(row), torch.from_numpy(stored["indices"].astype(np.int64)))
    return dense.index_put(places, torch.from_numpy(stored["data"].astype(np.float32)), accumulate=True)


def _in_order(known: Tensor, tested: Tensor, order: Tensor) -> Tensor:
    """Rows of nodes: those known, then those tested, row i of which is node order[i]; gaps between them are 0."""
    rows = torch.zeros(int(order.max()) + 1, known.shape[1])
    rows[: len(known)] = known
    rows[order] = tested
    return rows


def _edges(graph: dict[int, list[int]], nodes: int) -> Tensor:
    """(2, E), sorted by target then source, without duplicates and self-loops."""
    pairs = torch.tensor([(a, b) for a, neighbours in graph.items() for b in neighbours if a != b])
    if not bool(((pairs >= 0) & (pairs < nodes)).all()):
        raise ValueError(f"the graph names a node outside of 0 to {nodes - 1}")
    return torch.unique(pairs.flip(1), dim=0).flip(1).T.contiguous()

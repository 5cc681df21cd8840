"""Read Planetoid's citation networks (Yang et al., arXiv:1603.08861) from their raw files, which are pickles.

A pickle can run any code. These are read by an unpickler that can build arrays, dicts and lists, and refuses everything
else.
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
VALIDATED = 500  # nodes after the training nodes


def read_planetoid(folder: str | Path, name: str) -> Any:
    """Read a citation network with its public split.

    The mask ``train_mask`` has 20 nodes per class, ``val_mask`` the 500 nodes after them, and ``test_mask`` 1,000
    nodes. As in torch_geometric, nodes of Citeseer that no file mentions have zero features and the label 0.

    Args:
        folder: The folder of ``ind.NAME.x`` and the other files, found by :func:`data_path`.
        name: ``"cora"`` or ``"citeseer"``.

    Returns:
        A ``torch_geometric.data.Data`` with x (nodes, F), y, edge_index without duplicates and self-loops, and the
        masks.

    Raises:
        MetaoptError: A file is missing, damaged, or holds anything but arrays, or torch_geometric is not installed.
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
    """Take the place of ``scipy.sparse.csr_matrix``: it holds the attributes in the file and has no methods."""


class _Arrays(Unpickler):
    """Build arrays, sparse matrices (as :class:`_Csr`), dicts and lists, and refuse any other name in the file."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): None,  # an argument of _reconstruct, which _empty_array ignores
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
    """Return the rows of all nodes: those known, then those tested, where row i is node order[i]; gaps are 0."""
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

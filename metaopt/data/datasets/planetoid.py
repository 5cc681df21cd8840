"""Read Planetoid's citation networks (Yang et al., arXiv:1603.08861) from their raw files, which are pickles.

A pickle can run any code. These are read by :mod:`~metaopt.data.formats.array_pickle`, which runs none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core import MetaoptError
from ...files import read_bytes
from ...foundation.extras import require
from ..formats.array_pickle import SparseRows, read_array_pickle
from ..location import data_path

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph")
VALIDATED = 500  # nodes after the training nodes
LARGEST = 2**28  # entries of a matrix, 4 bytes each; those of Citeseer are 2^24


@checked
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

    if not isinstance(name, str) or not name.isalnum():
        raise MetaoptError(f"A citation network is called cora or citeseer, not {name!r:.80}.")
    path = Path(folder) / f"ind.{name.lower()}"
    parts = {part: read_array_pickle(data_path(f"{path}.{part}")) for part in PARTS}
    order = _read_indices(data_path(f"{path}.test.index"))
    try:
        x = _in_order(_dense(parts["allx"]), _dense(parts["tx"]), order)
        one_hot = _in_order(_dense(parts["ally"]), _dense(parts["ty"]), order)
        edges = _edges(parts["graph"], len(x))
        trained = len(_dense(parts["y"]))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise MetaoptError(f"The files of {name} in {data_path(folder)} do not fit together: {error}.") from error
    data = Data(x=x, edge_index=edges, y=one_hot.argmax(1))
    nodes = torch.arange(len(x))
    data.train_mask = nodes < trained
    data.val_mask = (nodes >= trained) & (nodes < trained + VALIDATED)
    data.test_mask = torch.isin(nodes, order)
    return data


def _read_indices(path: Path) -> Tensor:
    try:
        indices = torch.tensor([int(line) for line in read_bytes(path, LARGEST).split()])
    except OSError as error:
        raise MetaoptError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, OverflowError, RuntimeError) as error:
        raise MetaoptError(f"{path} must hold one whole number a line: {error}.") from error
    if not len(indices) or bool((indices < 0).any()):
        raise MetaoptError(f"{path} must hold one whole number from 0 on a line, and one line at least.")
    return indices


def _dense(part: Any) -> Tensor:
    if isinstance(part, np.ndarray):
        return _single(part)
    if not isinstance(part, SparseRows):
        raise ValueError(f"a {type(part).__name__} stands where a matrix should be")
    rows, columns = part.shape
    dense = _zeros(rows, columns)
    row = np.repeat(np.arange(rows), np.diff(part.indptr))
    places = (torch.from_numpy(row), torch.from_numpy(part.indices))
    return dense.index_put(places, _single(part.data), accumulate=True)


def _single(values: np.ndarray) -> Tensor:
    """Return numbers in float32, which holds them to rounding."""
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{values.dtype} numbers stand where real ones should be")
    with np.errstate(over="ignore", under="ignore"):
        single = np.ascontiguousarray(values, np.float32)
    lost = np.abs(single - values) > 1e-3 * np.abs(values)  # False for NaN and infinity
    if lost.any():
        raise ValueError(f"the number {values[lost].flat[0]:g} is beyond float32, 1e-38 to 3e38; scale the features")
    return torch.from_numpy(single)


def _zeros(rows: int, columns: int) -> Tensor:
    if rows * columns > LARGEST:
        raise ValueError(f"a matrix of {rows} x {columns} is larger than any of Planetoid")
    return torch.zeros(rows, columns)


def _in_order(known: Tensor, tested: Tensor, order: Tensor) -> Tensor:
    """Return the rows of all nodes: those known, then those tested, where row i is node order[i]; gaps are 0."""
    rows = _zeros(int(order.max()) + 1, known.shape[1])
    rows[: len(known)] = known
    rows[order] = tested
    return rows


def _edges(graph: dict[int, list[int]], nodes: int) -> Tensor:
    """(2, E), sorted by target then source, without duplicates and self-loops."""
    pairs = torch.tensor([(a, b) for a, neighbours in graph.items() for b in neighbours if a != b], dtype=torch.long)
    pairs = pairs.reshape(-1, 2)
    if not bool(((pairs >= 0) & (pairs < nodes)).all()):
        raise ValueError(f"the graph names a node outside of 0 to {nodes - 1}")
    return torch.unique(pairs.flip(1), dim=0).flip(1).T.contiguous()

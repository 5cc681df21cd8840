"""Decode linear codes on factor graphs of parity checks, with the received word as evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from ..arguments.contracts import Axes, Count, Share, checked
from ..core import MetaoptError, tree
from ..problems import FactorGraph, parity
from .channels import Range, ReceivedCodewords, generator_matrix

LAYOUTS = (torch.strided, torch.sparse_coo)
Ratios = Annotated[Tensor, Axes("real", "(B, bits)")]


@checked
def code_graph(checks: Any, ratios: Ratios) -> FactorGraph:
    """Return the factor graph of a code: a binary variable for each column of the checks, an even parity for each row.

    Args:
        checks: Parity checks, (rows, bits), of zeros and ones, dense or sparse (``torch.sparse_coo``).
        ratios: Log-likelihood ratios ``log p(y | 0) / p(y | 1)``, (B, bits), which become the unary potentials.

    Returns:
        A factor graph of B samples.

    Raises:
        MetaoptError: Checks are no matrix of zeros and ones, or checks and ratios have different numbers of bits.
    """
    if not isinstance(checks, Tensor) or checks.ndim != 2 or checks.layout not in LAYOUTS or checks.is_meta:
        given = f"{checks.layout} {tree.describe(checks)}" if isinstance(checks, Tensor) else type(checks).__name__
        raise MetaoptError(f"code_graph needs checks to be a dense or sparse_coo tensor (rows, bits), but got {given}.")
    if ratios.ndim != 2 or checks.ndim != 2 or ratios.shape[1] != checks.shape[1]:
        raise MetaoptError(
            f"Checks (rows, bits) and ratios (B, bits) have equally many bits, but got {tuple(checks.shape)} and "
            f"{tuple(ratios.shape)}."
        )
    if checks.layout == torch.sparse_coo:
        found = checks.coalesce()
        rows, bits = found.indices()[:, found.values() != 0]
    else:
        rows, bits = checks.nonzero().T
    degrees = torch.bincount(rows, minlength=len(checks))
    groups = []
    for degree in degrees[degrees > 0].unique().tolist():
        joined = bits[degrees[rows] == degree]  # sorted by row
        groups.append(parity(joined.reshape(-1, degree), dtype=ratios.dtype))
    unary = torch.stack([ratios / 2, -ratios / 2], dim=-1).flatten(1)
    return FactorGraph(torch.full((ratios.shape[1],), 2), unary, tuple(groups))


@checked
@dataclass(frozen=True, eq=False)
class Decoding:
    """Decode random codewords of a code after a channel with bursts (:func:`metaopt.tasks.bursty`).

    ``sample`` gives the :func:`code_graph` of a batch, whose evidence ignores the bursts, and the codewords as one-hot
    probabilities of the states of each bit, (B, 2 bits).

    Args:
        checks: Parity checks, (rows, bits), of zeros and ones, as :func:`metaopt.data.read_alist` reads them.
        snr: E_b / N_0 in dB, a number or two bounds, as in :class:`ReceivedCodewords`.
        level: Standard deviation of the bursts, a number or two bounds.
        share: Probability of a burst at a bit.
        batch: Number of codewords in a sample.
    """

    checks: Any
    snr: Range = (0.0, 4.0)
    level: Range = 0.0
    share: Share = 0.05
    batch: Count = 128

    def sample(self, seed: int) -> tuple[FactorGraph, Tensor]:
        words = ReceivedCodewords(generator_matrix(self.checks), self.snr, self.level, self.share, self.batch)
        ratios, codewords = words.sample(seed)
        graph = code_graph(torch.as_tensor(self.checks), ratios.float())
        return graph, torch.nn.functional.one_hot(codewords.long(), 2).flatten(1).to(graph.unary)

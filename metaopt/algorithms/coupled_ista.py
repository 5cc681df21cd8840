"""ISTA whose two matrices are one, and may differ from the dictionary: what LISTA-CP, ALISTA and NA-ALISTA open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..core import Algorithm, MetaoptError, slot
from ..priors.prior import soft_threshold
from .proximal import check_dictionary, zero_code


class CodeState(NamedTuple):
    """``z``: the code, (B, n); ``memory``: of the schedule, where it has one."""

    z: Tensor
    memory: Any


class CoupledIsta(Algorithm[Tensor, CodeState, Tensor]):
    """Sparse coding of y in a dictionary A: z <- soft(z - step_size W^T (A z - y), threshold), from z = 0.

    With W = A, step_size = 1/L and threshold = penalty / L it is :class:`Ista`: as it is built, it computes that. To
    learn other W, one a step, gives LISTA-CP (Chen et al., arXiv:1808.10038); with the analytic W of
    :func:`analytic_weights` the two numbers are all there is to learn (ALISTA, Liu et al., ICLR 2019); and a schedule
    that gives the two numbers of every sample and step from its residual is NA-ALISTA (arXiv:2102.00714).

    Args:
        dictionary: A, (m, n), real.
        penalty: in the units of y squared.
        support: of step k, the share of the largest entries that pass without a threshold (support selection); the
            last one holds for all later steps. Empty: none do.
        schedule: a module with ``init(z) -> memory`` and ``forward(residual, correlation, memory)`` of the mean
            ``|A z - y|`` and ``|W^T (A z - y)|`` of every sample, (B, 1) each, which returns (factors, memory); the
            factors, (B, 2), multiply step size and threshold.

    The problem is the measurement y, (B, m). Slots: ``weights`` (W), ``step_size``, ``threshold``, ``schedule``.

    Raises: MetaoptError where the dictionary is no real matrix, y does not fit it, or a share is outside [0, 1].
    """

    dictionary: Tensor

    def __init__(self, dictionary: Tensor, penalty: float, support: Sequence[float] = (), schedule: Any = None):
        super().__init__()
        check_dictionary("CoupledIsta", dictionary)
        if not all(0 <= share <= 1 for share in support):
            raise MetaoptError(f"Shares of entries lie between 0 and 1, but support is {tuple(support)}.")
        lipschitz = float(torch.linalg.matrix_norm(dictionary, 2).square())
        self.register_buffer("dictionary", dictionary.detach().clone())
        self.support = tuple(support)
        self.weights, self.step_size = slot(dictionary), slot(1 / lipschitz)
        self.threshold = slot(penalty / lipschitz)
        self.scheduled = schedule is not None
        if schedule is not None:
            self.schedule = slot(schedule)

    def init(self, problem: Tensor) -> CodeState:
        z = zero_code("CoupledIsta", problem, tuple(self.dictionary.shape))
        return CodeState(z, self.schedule(0).init(z) if self.scheduled else ())

    def step(self, problem: Tensor, state: CodeState, k: int) -> CodeState:
        residual = state.z @ self.dictionary.T - problem
        correlation = residual @ self.weights(k)
        step_size, threshold, memory = self.step_size(k), self.threshold(k), state.memory
        if self.scheduled:
            sizes = (t.abs().mean(1, keepdim=True) for t in (residual, correlation))
            factors, memory = self.schedule(k)(*sizes, memory)
            step_size, threshold = step_size * factors[:, :1], threshold * factors[:, 1:]
        moved = state.z - step_size * correlation
        kept = soft_threshold(moved, threshold)
        if self.support:
            kept = torch.where(self._largest(moved, k), moved, kept)
        return CodeState(kept, memory)

    def readout(self, problem: Tensor, state: CodeState, k: int) -> Tensor:
        return state.z

    def _largest(self, z: Tensor, k: int) -> Tensor:
        """Where the entries of largest magnitude are, as many a sample as the support of step k says."""
        count = round(self.support[min(k, len(self.support) - 1)] * z.shape[1])
        places = z.abs().topk(count, dim=1).indices
        return torch.zeros_like(z, dtype=torch.bool).scatter(1, places, True)


def analytic_weights(dictionary: Tensor) -> Tensor:
    """W of the dictionary's shape that minimises ``|W^T A|_F`` subject to w_i^T a_i = 1 for every column.

    Column i is (A A^T)^-1 a_i over a_i^T (A A^T)^-1 a_i. It makes A's columns look as orthogonal as they can (Liu et
    al., ALISTA, ICLR 2019).

    Raises: MetaoptError where the rows of A are not independent.
    """
    gram = dictionary @ dictionary.T
    if not float(torch.linalg.cond(gram)) < 1 / torch.finfo(gram.dtype).eps:
        raise MetaoptError("The rows of the dictionary are not independent, so it has no analytic weights; drop some.")
    solved = torch.linalg.solve(gram, dictionary)
    return solved / (dictionary * solved).sum(0)

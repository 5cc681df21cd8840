"""Run ISTA with one matrix, which may differ from the dictionary; LISTA-CP, ALISTA and NA-ALISTA open its slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from ..arguments.contracts import Holds, Matrix, Share, checked, within
from ..core import Algorithm, MetaoptError, slot
from ..priors.prior import soft_threshold
from .proximal import check_dictionary, zero_code

Schedule = Annotated[Any, Holds(("init", "forward"))]


class CodeState(NamedTuple):
    """Hold the code ``z`` (B, n), and ``memory`` of the schedule where there is one."""

    z: Tensor
    memory: Any


@checked
class CoupledIsta(Algorithm[Tensor, CodeState, Tensor]):
    """Code y sparsely in a dictionary A by ``z <- soft(z - step_size W^T (A z - y), threshold)``, from z = 0.

    It is built with W = A, step_size = 1/L and threshold = penalty / L, and so computes what :class:`Ista` does.
    Learning one W per step gives LISTA-CP (Chen et al., arXiv:1808.10038). With the analytic W of
    :func:`analytic_weights`, only step sizes and thresholds are learned (ALISTA, Liu et al., ICLR 2019). With a
    schedule that scales both for every sample and step by its residual it is NA-ALISTA (arXiv:2102.00714). The problem
    is the measurement y, (B, m).

    Args:
        dictionary: A, (m, n), real.
        penalty: Weight of the 1-norm of z, in the units of y squared.
        support: For each step, the share of the largest entries that the threshold leaves alone (support selection).
            The last share holds for all later steps. Empty: the threshold holds for all entries.
        schedule: A module with ``init(z) -> memory`` and ``forward(residual, correlation, memory) -> (factors,
            memory)``. Its inputs are the means of ``|A z - y|`` and ``|W^T (A z - y)|`` of every sample, (B, 1) each.
            The factors, (B, 2), multiply step size and threshold.

    Slots:
        weights: W, (m, n).
        step_size: The step size.
        threshold: The threshold.
        schedule: The schedule, where it is given.

    Raises:
        MetaoptError: The dictionary is not a real matrix, y does not fit it, or a share is not in [0, 1].
    """

    dictionary: Tensor

    def __init__(
        self, dictionary: Matrix, penalty: float, support: Sequence[Share] = (), schedule: Schedule | None = None
    ):
        super().__init__()
        check_dictionary("CoupledIsta", dictionary)
        lipschitz = float(torch.linalg.matrix_norm(dictionary, 2).square())
        self.register_buffer("dictionary", dictionary.detach().clone())
        self.support = tuple(support)
        self.weights, self.step_size = slot(dictionary), slot(1 / lipschitz, within("step_size", 0))
        self.threshold = slot(penalty / lipschitz, within("threshold", 0))
        self.scheduled = schedule is not None
        if schedule is not None:
            self.schedule = slot(schedule)

    def init(self, problem: Tensor) -> CodeState:
        z = zero_code("CoupledIsta", problem, tuple(self.dictionary.shape), self.dictionary.dtype)
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
        """Return a mask of the entries of largest magnitude, as many per sample as the support of step k says."""
        count = round(self.support[min(k, len(self.support) - 1)] * z.shape[1])
        places = z.abs().topk(count, dim=1).indices
        return torch.zeros_like(z, dtype=torch.bool).scatter(1, places, True)


@checked
def analytic_weights(dictionary: Matrix) -> Tensor:
    """Return the W that minimises ``|W^T A|_F`` subject to ``w_i^T a_i = 1`` for every column i.

    Column i is ``(A A^T)^-1 a_i / (a_i^T (A A^T)^-1 a_i)``. These weights minimise the correlations between W and A.

    Args:
        dictionary: A, (m, n).

    Returns:
        W, (m, n).

    Raises:
        MetaoptError: The rows of A are not linearly independent.

    Source:
        Liu et al., ALISTA, ICLR 2019.
    """
    check_dictionary("analytic_weights", dictionary)
    gram = dictionary @ dictionary.T
    if not float(torch.linalg.cond(gram)) < 1 / torch.finfo(gram.dtype).eps:
        raise MetaoptError("The rows of the dictionary are not independent, so it has no analytic weights; drop some.")
    solved = torch.linalg.solve(gram, dictionary)
    return solved / (dictionary * solved).sum(0)

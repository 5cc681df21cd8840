"""Refine graphs by inference: an edge's variable is marginalized in the factor graph that potentials make."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...arguments.checks import check_instance
from ...arguments.contracts import ModuleSlot, checked
from ...core import Algorithm, slot
from ...problems.refinement import GraphRefinement


@checked
class EdgeInference(Algorithm[GraphRefinement, Any, Tensor]):
    """Find which edges of an over-complete graph are real, by any inference on the factor graph of its potentials.

    A step is a step of ``inference`` on the graph that the potentials of that step make, and the output is the log-odds
    of each edge, (E,). With :class:`~metaopt.MeanField` without damping, the step is the coordinate-wise maximum of the
    ELBO, in parallel. With o_j = q_kj / (1 - q_kj) and beta up to 2 it is

    ``logit q_kl = prod_j (1 - q_kj) [beta_1 - beta_0 + (beta_2 - beta_1) sum_m o_m - beta_2 sum_{m<n} o_m o_n] + a x_k
    + (4 q_lk - 2) lambda + 2 q_lk w f_kl``, where j, m and n are the other edges of node k.

    The published update sums over m and all n other than m, which counts every pair twice and is not the maximum; beta
    of any length is exact here. With :class:`~metaopt.BeliefPropagation` the same potentials are used by messages.

    Args:
        inference: An algorithm on factor graphs whose outputs are :class:`~metaopt.algorithms.Beliefs`. Its slots are
            opened as ``inference.damping``.
        potentials: Fills the slot of that name.

    Slots:
        potentials: A module like :class:`~metaopt.networks.EdgePotentials`. Its slots are opened as
            ``potentials.degree``.

    Source:
        Selvan et al., 2020, arXiv:1811.08674 (mean-field networks for graph refinement).
    """

    def __init__(self, inference: Algorithm[Any, Any, Any], potentials: ModuleSlot):
        super().__init__()
        self.inference, self.potentials = inference, slot(potentials)

    def init(self, problem: GraphRefinement) -> Any:
        check_instance("The problem of EdgeInference", problem, GraphRefinement)
        return self.inference.init(self.potentials(0)(problem))

    def step(self, problem: GraphRefinement, state: Any, k: int) -> Any:
        return self.inference.step(self.potentials(k)(problem), state, k)

    def readout(self, problem: GraphRefinement, state: Any, k: int) -> Tensor:
        log_marginals = self.inference.readout(self.potentials(k)(problem), state, k).log_marginals
        off, on = log_marginals.reshape(-1, 2).unbind(1)
        return on - off

    def samples(self, problem: GraphRefinement, state: Any) -> int:
        """Return 1, since the edges of a graph converge as a whole."""
        return 1

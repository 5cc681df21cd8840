"""Pass messages on factor graphs, stored as one flat vector over the states of all edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...arguments.checks import check_instance
from ...arguments.contracts import ModuleSlot, ValueSlot, checked, within
from ...core import Algorithm, MetaoptError, slot
from ...networks.messages import check_precision
from ...problems.factor_graph import FactorGraph
from ...problems.factors import Marginalize, log_sum

SILENT = -1e4  # what a message says of an impossible state; the state's own belief does not depend on it


class Beliefs(NamedTuple):
    """Hold the result of inference.

    ``log_marginals`` (B, N) are the normalised log probabilities of the states of each variable, and ``log_z`` (B,
    graphs) is the natural logarithm of the partition function. The log probability of a state that the model's zeros
    exclude is about -1e30 (-inf from exact inference), so that a loss may multiply it by 0.
    """

    log_marginals: Tensor
    log_z: Tensor


class Messages(NamedTuple):
    """Hold ``messages`` from factors to variables (B, S), each with maximum 0, and ``memory`` of the correction.

    Zeros are no part of them: which states the zeros leave is a property of the problem (``possible``), and all
    messages about these are finite.
    """

    messages: Tensor
    memory: Any


class Flooding(nn.Module):
    """Change every message in every step."""

    def forward(self, problem: FactorGraph, proposed: Tensor, messages: Tensor, k: int) -> Tensor:
        return proposed


class NoCorrection(nn.Module):
    """Leave the messages as belief propagation proposes them; a ``correction`` slot holds this at first."""

    def init(self, problem: FactorGraph, messages: Tensor) -> Any:
        return ()

    def forward(
        self, proposed: Tensor, messages: Tensor, memory: Any, problem: FactorGraph, k: int
    ) -> tuple[Tensor, Any]:
        return proposed, memory


@checked
class BeliefPropagation(Algorithm[FactorGraph, Messages, Beliefs]):
    r"""Pass messages on a factor graph by the sum-product rule, or max-product with ``log_max``.

    With other weights than 1 it is tree-reweighted or fractional belief propagation.

    With ``total_v = w unary_v / t + sum_f rho_f m_fv`` and cavities ``n_vf = total_v - m_fv``, a step proposes for
    every edge

    ``m_fv(x_v) = log sum_{x_f \ x_v} exp(log f(x_f) / (rho_f t) + sum_{u in f, not v} n_uf(x_u))``,

    corrects it, and moves by 1 - damping towards it. Beliefs are the normalised totals, and log Z is minus the Bethe
    free energy, ``t [sum_v log Z_v + sum_f rho_f (log Z_f - sum_{v in f} log Z_v)]``. It is exact on trees for rho = 1,
    and an upper bound with the weights of :func:`tree_weights`.

    Args:
        damping: Fills the slot of that name.
        temperature: Fills the slot of that name.
        weight: Fills the slot of that name.
        correction: Fills the slot of that name. None: :class:`NoCorrection`.
        schedule: Fills the slot of that name. None: :class:`Flooding`.
        marginalize: ``log_sum`` (sum-product) or ``log_max`` (max-product, whose beliefs are max-marginals).
        evidence: Fills the slot of that name.

    Slots:
        damping: A number in [0, 1).
        temperature: The number t.
        weight: rho, a number, one for every factor, or a module from the graph to these.
        correction: A module like :class:`NoCorrection`.
        schedule: A module like :class:`Flooding`.
        evidence: w, a number, or a module from the graph to its unary potentials (B, N).

    Source:
        Kschischang et al., doi:10.1109/18.910572; Wainwright et al., doi:10.1109/TIT.2005.850091; Wiegerinck and
        Heskes, NIPS 2002 (fractional).
    """

    def __init__(
        self,
        damping: ValueSlot = 0.0,
        temperature: ValueSlot = 1.0,
        weight: ModuleSlot | ValueSlot = 1.0,
        correction: ModuleSlot | None = None,
        schedule: ModuleSlot | None = None,
        marginalize: Marginalize = log_sum,
        evidence: ModuleSlot | ValueSlot = 1.0,
    ):
        super().__init__()
        self.damping = slot(damping, within("damping", 0, below=1))
        self.temperature, self.weight = (
            slot(temperature, within("temperature", above=0)),
            slot(weight, within("weight", above=0)),
        )
        self.evidence = slot(evidence)
        self.correction, self.schedule = slot(correction or NoCorrection()), slot(schedule or Flooding())
        self.marginalize = marginalize

    def init(self, problem: FactorGraph) -> Messages:
        check_instance("The problem of BeliefPropagation", problem, FactorGraph)
        check_precision(self, problem)
        messages = problem.mark(problem.unary.new_zeros(problem.batch, len(problem.edge_state)), SILENT)
        return Messages(messages, self.correction(0).init(problem, messages))

    def step(self, problem: FactorGraph, state: Messages, k: int) -> Messages:
        proposed = self.propose(problem, state.messages, k)
        proposed, memory = self.correction(k)(proposed, state.messages, state.memory, problem, k)
        proposed = self.schedule(k)(problem, proposed, state.messages, k)
        return Messages(
            problem.mark(torch.lerp(proposed, state.messages, self.damping(k).to(proposed)), SILENT), memory
        )

    def propose(self, problem: FactorGraph, messages: Tensor, k: int) -> Tensor:
        """Return the messages of a step without damping and correction.

        Args:
            problem: The factor graph.
            messages: The messages, (B, S).
            k: The step.

        Returns:
            The new messages, (B, S).
        """
        weight = self._weight(problem, k)
        cavities = problem.blocks(problem.at_edges(self._totals(problem, messages, weight, k)) - messages)
        found = []
        for group, blocks, scale in zip(problem.factors, cavities, self._scales(problem, weight, k), strict=True):
            out = group.messages(blocks, scale, self.marginalize)
            found.append([m - m.amax(1, keepdim=True) for m in out])
        return problem.mark(problem.flat(found, len(messages)), SILENT)

    def readout(self, problem: FactorGraph, state: Messages, k: int) -> Beliefs:
        """Return the beliefs, with the weight, evidence and temperature of the step that left the messages."""
        weight = self._weight(problem, k)
        totals = self._totals(problem, state.messages, weight, k)
        by_variable = (problem.log_sums if self.marginalize is log_sum else problem.highest)(totals)
        cavities = problem.blocks(problem.at_edges(totals) - state.messages)
        parts = [
            group.log_total(blocks, scale, self.marginalize) - by_variable[:, group.variables].sum(-1)
            for group, blocks, scale in zip(problem.factors, cavities, self._scales(problem, weight, k), strict=True)
        ]
        log_z = problem.by_graph(by_variable, problem.graph)
        log_z = log_z + problem.by_graph(weight * problem.joined(parts, len(totals)), problem.factor_graph)
        log_z = self.temperature(k) * log_z + problem.constant
        if problem.possible is not None:
            log_z = log_z + problem.contradiction()
        return Beliefs(problem.exclude(problem.normalized(totals)), log_z)

    def residual(self, problem: FactorGraph, state: Messages, k: int) -> Tensor:
        """Return the largest change of a message in a step without damping and correction, which is 0 at a fixed point.

        Args:
            problem: The factor graph.
            state: The state.
            k: The step that left the state.

        Returns:
            (B,).
        """
        change = (self.propose(problem, state.messages, k) - state.messages).abs()
        return change.amax(1) if change.shape[1] else change.new_zeros(len(change))

    def _weight(self, problem: FactorGraph, k: int) -> Tensor:
        """Return rho: a number, or one for every factor, (F,) or (B, F)."""
        weight = self.weight(k)
        weight = (weight if isinstance(weight, Tensor) else weight(problem)).to(problem.unary)
        if weight.ndim and weight.shape[-1] not in (1, len(problem.factor_graph)):
            raise MetaoptError(
                f"The weights {tuple(weight.shape)} are of a graph of {weight.shape[-1]} factors, but this one has "
                f"{len(problem.factor_graph)} factors of {len(problem.cardinalities)} variables; weights for each "
                "factor fit one structure only, such as one code. Train them for this one, or take weights that are "
                "computed from the graph (learned_bp)."
            )
        return weight

    def _totals(self, problem: FactorGraph, messages: Tensor, weight: Tensor, k: int) -> Tensor:
        weight = weight[..., problem.edge_factor] if weight.ndim else weight
        evidence = self.evidence(k)
        unary = evidence * problem.soft_unary if isinstance(evidence, Tensor) else evidence(problem)
        return problem.exclude(problem.sums(unary / self.temperature(k), weight * messages))

    def _scales(self, problem: FactorGraph, weight: Tensor, k: int) -> Sequence[Tensor]:
        scale = 1 / (self.temperature(k) * weight)
        if not scale.ndim:
            return [scale] * len(problem.factors)
        return torch.split(scale, [len(group.variables) for group in problem.factors], dim=-1)

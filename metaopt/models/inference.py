"""Build learned inference: classical schemes on factor graphs with learned slots, and a graph network."""

from __future__ import annotations

from typing import Any

import torch

from ..algorithms import BeliefPropagation, MeanField, RandomRestarts
from ..arguments.contracts import Count, Natural, checked
from ..core import MetaoptError, Unrolled, fixed, parameterize, per_step, shared, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..networks import ConstantWeights, GraphCorrection, LearnedDamping, LearnedEvidence, LearnedWeights
from ..problems import FactorGraph
from ..records import recorded
from . import GraphNetwork

Inference = Unrolled[FactorGraph, Any, Any]
BACKPROP = Backprop()


@recorded
@checked
def mean_field_net(steps: Natural = 10, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Build a mean-field network: parallel mean field with a learned damping and temperature for every step.

    It works on any factor graph; the original is the network of Selvan et al., arXiv:1811.08674.

    Args:
        steps: Number of steps.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.FactorGraph` to its beliefs.
    """
    algorithm = MeanField(per_step(steps, 0.5, interval=(0.0, 1.0)), per_step(steps, 1.0, positive=True))
    return unroll(algorithm, steps, gradient)


@recorded
@checked
def learned_bp(steps: Natural = 30, hidden: Count = 16, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Build belief propagation with a learned damping and learned factor weights, for any graph and number of steps.

    Before training it equals belief propagation with damping 0.5. The networks are
    :class:`~metaopt.networks.LearnedDamping` and :class:`~metaopt.networks.LearnedWeights`.

    Args:
        steps: Number of steps.
        hidden: Width of both networks.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.FactorGraph` to its beliefs.
    """
    algorithm = BeliefPropagation(0.5, weight=LearnedWeights(hidden), correction=LearnedDamping(hidden))
    return unroll(algorithm, steps, gradient)


SCALES = (1.25, 1.5, 2.0, 4.0)  # that many_starts multiplies the learned weights by


@checked
def many_starts(
    network: Inference | None = None,
    steps: Natural = 400,
    starts: Count = 16,
    seed: int = 0,
    patience: Count = 4,
) -> RandomRestarts:
    """Combine weights, learned by :func:`learned_bp` or constant, with random restarts, for longer runs than trained.

    The learned damping is left out, because it was trained for few steps. The candidates are belief propagation with
    damping 0.3, then the weights with damping 0.5 at growing scales (1.25, 1.5, 2, 4), until a start comes near a fixed
    point. On grids, constant weights of these sizes are as accurate as the learned ones.

    Args:
        network: A network that :func:`learned_bp` built. None: a constant weight, the scale itself.
        steps: Maximum number of steps of each run.
        starts: Number of random starts.
        seed: Seed of the starts.
        patience: How many times ``steps`` a run may take where it is near a fixed point.

    Returns:
        The restarts, to be called with a factor graph.

    Raises:
        MetaoptError: The network is not belief propagation.
    """
    if network is None:
        constant = [BeliefPropagation(0.5, weight=ConstantWeights(s)) for s in SCALES]
        return RandomRestarts([BeliefPropagation(0.3), *constant], steps, starts, seed=seed, patience=patience)
    algorithm: Any = getattr(network, "algorithm", network)
    if not isinstance(algorithm, BeliefPropagation):
        raise MetaoptError(
            f"many_starts takes the weights of a network made by learned_bp, but got one of {type(algorithm).__name__}."
        )
    weights: Any = algorithm.weight.content()
    if not isinstance(weights, LearnedWeights):
        raise MetaoptError(
            f"many_starts scales learned weights, but this network has {type(weights).__name__}; leave the network out "
            "for constant ones."
        )
    scaled = [parameterize(BeliefPropagation(0.5, weight=weights), {"weight.scale": fixed(s)}) for s in SCALES]
    return RandomRestarts([BeliefPropagation(0.3), *scaled], steps, starts, seed=seed, patience=patience)


@recorded
@checked
def neural_enhanced_bp(steps: Natural = 10, hidden: Count = 16, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Build belief propagation whose messages a graph network corrects in every step (arXiv:2003.01998).

    Args:
        steps: Number of steps.
        hidden: Width of the graph network.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.FactorGraph` to its beliefs.
    """
    damping = shared(0.5, interval=(0.0, 1.0))
    return unroll(BeliefPropagation(damping, correction=GraphCorrection(hidden)), steps, gradient)


@recorded
@checked
def weighted_bp(steps: Natural, factors: Count, hidden: Count = 16, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Build belief propagation with a weight for every factor and step, a damping for every step, and learned evidence.

    The network fits graphs of one structure only, such as one code. It is the weighted decoder of Nachmani, Be'ery and
    Burshtein (arXiv:1607.04793), but with a weight for each factor instead of each edge.

    Args:
        steps: Number of steps.
        factors: Number of factors of the graph.
        hidden: Width of the network that reads the evidence.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.FactorGraph` to its beliefs.
    """
    algorithm = BeliefPropagation(
        per_step(steps, 0.0),
        weight=per_step(steps, torch.ones(factors, dtype=torch.float64), positive=True),
        evidence=LearnedEvidence(hidden),
    )
    return unroll(algorithm, steps, gradient)


@recorded
@checked
def neural_enhanced_decoder(
    steps: Natural = 10, hidden: Count = 16, gradient: GradientStrategy = BACKPROP
) -> Inference:
    """Build :func:`neural_enhanced_bp` with learned evidence and a learned damping for every step, 0 at first.

    Args:
        steps: Number of steps.
        hidden: Width of the two networks.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.FactorGraph` to its beliefs.
    """
    damping = per_step(steps, 0.0)
    correction = GraphCorrection(hidden)
    return unroll(BeliefPropagation(damping, correction=correction, evidence=LearnedEvidence(hidden)), steps, gradient)


@recorded
@checked
def graph_network(steps: Natural = 10, hidden: Count = 32, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Build an unrolled :class:`GraphNetwork`, which reads the factors and contains no belief propagation.

    Args:
        steps: Number of steps.
        hidden: Width of the vectors of the graph network.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.FactorGraph` to its beliefs.
    """
    return unroll(GraphNetwork(hidden), steps, gradient)

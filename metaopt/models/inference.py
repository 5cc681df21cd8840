"""Learned inference: classical schemes on factor graphs with open slots, and a graph network beside them."""

from __future__ import annotations

from typing import Any

import torch

from ..algorithms import BeliefPropagation, MeanField, RandomRestarts
from ..core import Unrolled, fixed, parameterize, per_step, shared, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..networks import GraphCorrection, LearnedDamping, LearnedEvidence, LearnedWeights
from ..problems import FactorGraph
from ..records import recorded
from . import GraphNetwork

Inference = Unrolled[FactorGraph, Any, Any]
BACKPROP = Backprop()


@recorded
def mean_field_net(steps: int = 10, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Mean field in parallel, with a learned damping and temperature for every step: a mean-field network.

    The network of Selvan et al., arXiv:1811.08674, for any factor graph.
    """
    algorithm = MeanField(per_step(steps, 0.5, interval=(0.0, 1.0)), per_step(steps, 1.0, positive=True))
    return unroll(algorithm, steps, gradient)


@recorded
def learned_bp(steps: int = 30, hidden: int = 16, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Belief propagation with :class:`LearnedDamping` and :class:`LearnedWeights`.

    Starts as belief propagation with damping 0.5, and serves any graph and any number of steps.
    """
    algorithm = BeliefPropagation(0.5, weight=LearnedWeights(hidden), correction=LearnedDamping(hidden))
    return unroll(algorithm, steps, gradient)


SCALES = (1.25, 1.5, 2.0, 4.0)  # of learned weights


def many_starts(network: Inference, steps: int = 400, starts: int = 16, seed: int = 0) -> RandomRestarts:
    """The learned weights of :func:`learned_bp` from many starts: its damping is made for few steps, not for these.

    Tried are belief propagation, a little damped, and the learned weights ever larger, until a start comes near a fixed
    point.
    """
    weights = network.algorithm.weight.content()
    scaled = [parameterize(BeliefPropagation(0.5, weight=weights), {"weight.scale": fixed(s)}) for s in SCALES]
    return RandomRestarts([BeliefPropagation(0.3), *scaled], steps, starts, seed=seed)


@recorded
def neural_enhanced_bp(steps: int = 10, hidden: int = 16, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Belief propagation whose messages a graph network corrects in every step (arXiv:2003.01998)."""
    damping = shared(0.5, interval=(0.0, 1.0))
    return unroll(BeliefPropagation(damping, correction=GraphCorrection(hidden)), steps, gradient)


@recorded
def weighted_bp(steps: int, factors: int, hidden: int = 16, gradient: GradientStrategy = BACKPROP) -> Inference:
    """Belief propagation with a weight for every factor and step, a damping for every step, and learned evidence.

    For one structure, such as a code of so many checks: the weighted decoder of Nachmani, Be'ery and Burshtein
    (arXiv:1607.04793), with weights on what a check says instead of on every edge.
    """
    algorithm = BeliefPropagation(
        per_step(steps, 0.0),
        weight=per_step(steps, torch.ones(factors, dtype=torch.float64), positive=True),
        evidence=LearnedEvidence(hidden),
    )
    return unroll(algorithm, steps, gradient)


@recorded
def neural_enhanced_decoder(steps: int = 10, hidden: int = 16, gradient: GradientStrategy = BACKPROP) -> Inference:
    """:func:`neural_enhanced_bp`, undamped at first, with learned evidence."""
    damping = per_step(steps, 0.0)
    correction = GraphCorrection(hidden)
    return unroll(BeliefPropagation(damping, correction=correction, evidence=LearnedEvidence(hidden)), steps, gradient)


@recorded
def graph_network(steps: int = 10, hidden: int = 32, gradient: GradientStrategy = BACKPROP) -> Inference:
    """A graph network that reads the factors and never sees belief propagation (:class:`GraphNetwork`)."""
    return unroll(GraphNetwork(hidden), steps, gradient)

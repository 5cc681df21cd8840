"""Gradients of a run's loss without backpropagation: evolution strategies, plain and persistent."""

from .evolution import Estimate, Particles, es, pes

__all__ = ["Estimate", "Particles", "es", "pes"]

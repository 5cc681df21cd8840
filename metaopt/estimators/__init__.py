"""Estimate gradients of a run's loss without backpropagation, by plain and persistent evolution strategies."""

from .evolution import Estimate, Particles, es, pes

__all__ = ["Estimate", "Particles", "es", "pes"]

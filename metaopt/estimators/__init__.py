"""Gradients of a run's loss without backpropagation: plain and persistent evolution strategies."""

from .evolution import Estimate, Particles, es, pes

__all__ = ["Estimate", "Particles", "es", "pes"]

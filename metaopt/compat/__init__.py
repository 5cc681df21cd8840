"""Offer users of ``higher`` its inner loop, on the differentiable updates of this library."""

from .inner_loop import DifferentiableOptimizer, FunctionalModule, innerloop_ctx

__all__ = ["DifferentiableOptimizer", "FunctionalModule", "innerloop_ctx"]

"""The inner loop of ``higher``, for its users, on the differentiable updates of this library."""

from .inner_loop import DifferentiableOptimizer, FunctionalModule, innerloop_ctx

__all__ = ["DifferentiableOptimizer", "FunctionalModule", "innerloop_ctx"]

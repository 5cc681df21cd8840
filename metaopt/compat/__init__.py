"""For users of ``higher``: its inner loop, on this library's differentiable updates."""

from .inner_loop import DifferentiableOptimizer, FunctionalModule, innerloop_ctx

__all__ = ["DifferentiableOptimizer", "FunctionalModule", "innerloop_ctx"]

"""Give the streams of random numbers, which lie beneath the core, to whatever draws them."""

from ..foundation.streams import derive, generator

__all__ = ["derive", "generator"]

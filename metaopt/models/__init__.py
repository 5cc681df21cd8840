"""Models: learned instances of the classical algorithms."""

from .rim import rim, untie

__all__ = ["rim", "untie"]

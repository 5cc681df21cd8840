"""Models: learned instances of the classical algorithms."""

from .irim import irim
from .rim import rim, untie

__all__ = ["irim", "rim", "untie"]

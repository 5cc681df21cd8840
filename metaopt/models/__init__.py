"""Models: learned instances of the classical algorithms, and their trained weights."""

from .irim import irim
from .rim import rim, untie
from .weights import load, read_card, shipped

__all__ = ["irim", "load", "read_card", "rim", "shipped", "untie"]

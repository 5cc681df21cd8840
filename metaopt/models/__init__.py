"""Models: learned instances of the classical algorithms, and their trained weights."""

from .ablation import without_estimate, without_memory
from .irim import irim
from .learned_map import learned_map
from .proximal_net import proximal_net
from .rim import rim, untie
from .weights import load, read_card, shipped

__all__ = [
    "irim",
    "learned_map",
    "load",
    "proximal_net",
    "read_card",
    "rim",
    "shipped",
    "untie",
    "without_estimate",
    "without_memory",
]

"""Models: learned instances of the classical algorithms, and their trained weights."""

from .ablation import without_estimate, without_memory
from .irim import irim
from .learned_map import learned_map
from .learner import Learner, Prototypes, few_shot_network
from .lista import LstmSchedule, alista, lista, lista_cp, na_alista
from .proximal_net import proximal_net
from .rim import rim, untie
from .weights import load, read_card, shipped

__all__ = [
    "Learner",
    "LstmSchedule",
    "Prototypes",
    "alista",
    "few_shot_network",
    "irim",
    "learned_map",
    "lista",
    "lista_cp",
    "load",
    "na_alista",
    "proximal_net",
    "read_card",
    "rim",
    "shipped",
    "untie",
    "without_estimate",
    "without_memory",
]

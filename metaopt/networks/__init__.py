"""Networks that may fill the slots of algorithms."""

from typing import TYPE_CHECKING

from ..foundation.extras import on_demand
from .convolutional import CoarseMemory, ConvGruCell
from .coordinatewise import Perceptron, Recurrent, log_and_sign
from .couplings import Coupling, GradientReader, Writer
from .few_shot import Frozen, PerStep, Transductive, few_shot_network
from .graph_layers import Contraction, Layers, NodeEncoder, Shift
from .messages import ConstantWeights, EntryMessages, GraphCorrection, LearnedDamping, LearnedEvidence, LearnedWeights
from .recurrent import GruCell, LstmCell
from .residual_prox import ResidualProx
from .schedules import LstmSchedule

if TYPE_CHECKING:
    from .edge_potentials import EdgePotentials, potentials_from_numbers
    from .v_cycle import VCycle

__all__ = [
    "CoarseMemory",
    "ConstantWeights",
    "Contraction",
    "ConvGruCell",
    "Coupling",
    "EdgePotentials",
    "EntryMessages",
    "Frozen",
    "GradientReader",
    "GraphCorrection",
    "GruCell",
    "Layers",
    "LearnedDamping",
    "LearnedEvidence",
    "LearnedWeights",
    "LstmCell",
    "LstmSchedule",
    "NodeEncoder",
    "PerStep",
    "Perceptron",
    "Recurrent",
    "ResidualProx",
    "Shift",
    "Transductive",
    "VCycle",
    "Writer",
    "few_shot_network",
    "log_and_sign",
    "potentials_from_numbers",
]

__getattr__ = on_demand(
    __name__,
    {"EdgePotentials": ".edge_potentials", "VCycle": ".v_cycle", "potentials_from_numbers": ".edge_potentials"},
)

"""Build models, which are learned instances of the classical algorithms, and load their trained weights."""

from typing import TYPE_CHECKING

from ..foundation.extras import on_demand
from ..weights import load, save
from .ablation import without_estimate, without_memory
from .appnp import appnp
from .data_consistent import data_consistent
from .few_shot import Prototypes, first_order_maml, maml, meta_lstm, meta_sgd, prototypes
from .gcn import gcn, sgc
from .graph_network import GraphNetwork
from .implicit_gnn import implicit_gnn
from .inference import (
    graph_network,
    learned_bp,
    many_starts,
    mean_field_net,
    neural_enhanced_bp,
    neural_enhanced_decoder,
    weighted_bp,
)
from .irim import irim
from .learned_map import learned_map
from .learned_optimizer import learned_optimizer
from .lista import alista, lista, lista_cp, na_alista
from .proximal_net import proximal_net
from .rim import rim, untie

if TYPE_CHECKING:
    from .airway import AirwayNetwork, airway_network
    from .radio import learned_clean, radio_rim
    from .refinement import EdgeNetwork, edge_network, edge_perceptron, learned_bp_refinement, mean_field_refinement

__all__ = [
    "AirwayNetwork",
    "EdgeNetwork",
    "GraphNetwork",
    "Prototypes",
    "airway_network",
    "alista",
    "appnp",
    "data_consistent",
    "edge_network",
    "edge_perceptron",
    "first_order_maml",
    "gcn",
    "graph_network",
    "implicit_gnn",
    "irim",
    "learned_bp",
    "learned_bp_refinement",
    "learned_clean",
    "learned_map",
    "learned_optimizer",
    "lista",
    "lista_cp",
    "load",
    "maml",
    "many_starts",
    "mean_field_net",
    "mean_field_refinement",
    "meta_lstm",
    "meta_sgd",
    "na_alista",
    "neural_enhanced_bp",
    "neural_enhanced_decoder",
    "prototypes",
    "proximal_net",
    "radio_rim",
    "rim",
    "save",
    "sgc",
    "untie",
    "weighted_bp",
    "without_estimate",
    "without_memory",
]

__getattr__ = on_demand(
    __name__,
    {
        **dict.fromkeys(("learned_clean", "radio_rim"), ".radio"),
        **dict.fromkeys(("AirwayNetwork", "airway_network"), ".airway"),
        **dict.fromkeys(
            ("EdgeNetwork", "edge_network", "edge_perceptron", "learned_bp_refinement", "mean_field_refinement"),
            ".refinement",
        ),
    },
)

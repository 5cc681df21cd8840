"""Calls of networks and of the models that are made of them."""

import tempfile
from pathlib import Path

import torch
from torch import nn

import metaopt as mo
from metaopt import models, networks

from . import Call
from .algorithms import codes, dictionary, episode, grid, network, picture_problem, refined, signal

OUTSIDE = ("gradient",)  # a strategy: any object that has run(...)


def features():
    return torch.linspace(-1, 1, 2 * 4 * 5 * 5).reshape(2, 4, 5, 5)


def applied(*inputs):
    return lambda module: module(*[make() for make in inputs])


def filled(module):
    """A cell is only made: its inputs are those of the algorithm around it."""
    return [p.detach() for p in module.parameters()]


def on(make):
    return lambda net: net(make()).final


NETWORKS = {
    "VCycle": Call(networks.VCycle, lambda: {"features": [2, 3], "dims": 2}, filled),
    "CoarseMemory": Call(networks.CoarseMemory, lambda: {"features": 4, "scale": 2, "dims": 2}, filled),
    "ConstantWeights": Call(networks.ConstantWeights, dict, filled),
    "Contraction": Call(networks.Contraction, lambda: {"width": 3, "bound": 0.9}, filled),
    "ConvGruCell": Call(networks.ConvGruCell, lambda: {"features": 4, "kernel": 3, "dilation": 1, "dims": 2}, filled),
    "Coupling": Call(networks.Coupling, lambda: {"hidden": 4, "layers": 1, "dims": 2}, filled),
    "EdgePotentials": Call(
        networks.EdgePotentials,
        lambda: {"degree": torch.tensor([0.0, 1.0, -1.0]), "node": torch.ones(2), "symmetry": 1.0, "pair": 0.5},
        lambda potentials: mo.unroll(mo.algorithms.EdgeInference(mo.MeanField(), potentials), 1)(refined()).final,
    ),
    "EntryMessages": Call(networks.EntryMessages, lambda: {"hidden": 4}, filled),
    "Frozen": Call(
        networks.Frozen,
        lambda: {"num_features": 4, "eps": 1e-5, "affine": True},
        filled,
    ),
    "GradientReader": Call(
        networks.GradientReader, lambda: {"channels": 1, "hidden": 4, "stride": 1, "dims": 2, "context": 1}, filled
    ),
    "GraphCorrection": Call(networks.GraphCorrection, lambda: {"hidden": 4}, filled),
    "GruCell": Call(networks.GruCell, lambda: {"inputs": 2, "features": 3}, filled),
    "Layers": Call(networks.Layers, lambda: {"width": 3, "steps": 3}, filled),
    "LearnedDamping": Call(networks.LearnedDamping, lambda: {"hidden": 4}, filled),
    "LearnedEvidence": Call(networks.LearnedEvidence, lambda: {"hidden": 4}, filled),
    "LearnedWeights": Call(networks.LearnedWeights, lambda: {"hidden": 4}, filled),
    "LstmCell": Call(networks.LstmCell, lambda: {"inputs": 2, "features": 3}, filled),
    "LstmSchedule": Call(networks.LstmSchedule, lambda: {"hidden": 4}, filled),
    "NodeEncoder": Call(networks.NodeEncoder, lambda: {"widths": [3, 4, 2], "bias": True, "dropout": 0.5}, filled),
    "PerStep": Call(networks.PerStep, lambda: {"features": 4}, filled),
    "Perceptron": Call(networks.Perceptron, lambda: {"features": 4, "hidden": 4}, filled),
    "Recurrent": Call(networks.Recurrent, lambda: {"features": 4, "hidden": 4}, filled),
    "ResidualProx": Call(networks.ResidualProx, lambda: {"channels": 1, "hidden": 4, "layers": 2}, filled),
    "Shift": Call(networks.Shift, lambda: {"width": 3}, filled),
    "Transductive": Call(networks.Transductive, lambda: {"features": 4}, filled),
    "Writer": Call(
        networks.Writer, lambda: {"channels": 2, "hidden": 4, "stride": 1, "dims": 2, "is_complex": False}, filled
    ),
    "potentials_from_numbers": Call(
        networks.potentials_from_numbers,
        lambda: {"degree": [0.0, 1.0], "node": [0.5, 0.5], "symmetry": 1.0, "pair": [0.2]},
        lambda a: a.at_step(0)(refined()),
    ),
    "few_shot_network": Call(
        networks.few_shot_network, lambda: {"outputs": 2, "channels": 1, "hidden": 4, "layers": 2, "size": 8}, filled
    ),
    "log_and_sign": Call(networks.log_and_sign, lambda: {"gradient": features(), "p": 10.0}),
}

MODELS = {
    "AirwayNetwork": Call(
        models.AirwayNetwork,
        lambda: {"features": [2, 3]},
        lambda a: mo.unroll(a, 1)(torch.full((1, 1, 5, 6, 7), -800.0)).final,
    ),
    "airway_network": Call(
        models.airway_network, lambda: {"features": [2, 3], "steps": 1}, on(lambda: torch.full((1, 1, 5, 6, 7), -800.0))
    ),
    "EdgeNetwork": Call(
        models.EdgeNetwork,
        lambda: {"features": 2, "pairs": 1, "hidden": 4},
        lambda a: mo.unroll(a, 1)(refined()).final,
    ),
    "GraphNetwork": Call(models.GraphNetwork, lambda: {"hidden": 4}, lambda a: mo.unroll(a, 1)(grid()).final),
    "Prototypes": Call(models.Prototypes, lambda: {"network": network()}, lambda a: mo.unroll(a, 1)(episode()).final),
    "alista": Call(
        models.alista,
        lambda: {
            "dictionary": dictionary(),
            "penalty": 0.1,
            "steps": 2,
            "support": [0.1, 0.2],
            "step_size": 1.0,
            "decay": 0.8,
        },
        on(codes),
    ),
    "appnp": Call(
        models.appnp,
        lambda: {"features": 3, "classes": 2, "hidden": 4, "steps": 2, "teleport": 0.1, "dropout": 0.5},
        on(signal),
    ),
    "data_consistent": Call(
        models.data_consistent, lambda: {"net": models.rim(hidden=4, steps=1), "trust": 0.1}, on(picture_problem)
    ),
    "edge_network": Call(
        models.edge_network, lambda: {"features": 2, "pairs": 1, "hidden": 4, "steps": 1}, on(refined)
    ),
    "edge_perceptron": Call(models.edge_perceptron, lambda: {"features": 2, "pairs": 1, "hidden": 4}, on(refined)),
    "first_order_maml": Call(
        models.first_order_maml,
        lambda: {"network": network(), "steps": 1, "step_size": 0.1, "loss": nn.functional.cross_entropy},
        on(episode),
        OUTSIDE,
    ),
    "gcn": Call(
        models.gcn, lambda: {"features": 3, "classes": 2, "hidden": 4, "layers": 2, "dropout": 0.5}, on(signal)
    ),
    "graph_network": Call(models.graph_network, lambda: {"steps": 1, "hidden": 4}, on(grid)),
    "implicit_gnn": Call(
        models.implicit_gnn,
        lambda: {
            "features": 3,
            "classes": 2,
            "hidden": 4,
            "steps": 2,
            "bound": 0.9,
            "dropout": 0.5,
            "gradient": mo.Backprop(),
        },
        on(signal),
    ),
    "irim": Call(
        models.irim,
        lambda: {"channels": 1, "hidden": 4, "layers": 1, "stride": 1, "steps": 1, "is_complex": False, "dims": 2},
        on(picture_problem),
    ),
    "learned_bp": Call(models.learned_bp, lambda: {"steps": 1, "hidden": 4}, on(grid)),
    "learned_bp_refinement": Call(
        models.learned_bp_refinement,
        lambda: {"potentials": networks.EdgePotentials(torch.tensor([0.0, 1.0])), "steps": 1, "hidden": 4},
        on(refined),
    ),
    "learned_map": Call(models.learned_map, lambda: {"size": 3, "steps": 1}, on(picture_problem)),
    "learned_optimizer": Call(
        models.learned_optimizer, lambda: {"update": mo.updates.Sgd(0.1), "steps": 1}, on(picture_problem)
    ),
    "lista": Call(models.lista, lambda: {"dictionary": dictionary(), "penalty": 0.1, "steps": 2}, on(codes)),
    "lista_cp": Call(
        models.lista_cp, lambda: {"dictionary": dictionary(), "penalty": 0.1, "steps": 2, "support": [0.1]}, on(codes)
    ),
    "load": Call(models.load, lambda: {"name": "denoise_grey"}, filled),
    "maml": Call(
        models.maml,
        lambda: {"network": network(), "steps": 1, "step_size": 0.1, "loss": nn.functional.cross_entropy},
        on(episode),
    ),
    "many_starts": Call(
        models.many_starts,
        lambda: {"network": models.learned_bp(2, 4), "steps": 4, "starts": 1, "seed": 0},
        lambda a: a(grid()),
    ),
    "mean_field_net": Call(models.mean_field_net, lambda: {"steps": 1}, on(grid)),
    "mean_field_refinement": Call(
        models.mean_field_refinement,
        lambda: {"potentials": networks.EdgePotentials(torch.tensor([0.0, 1.0])), "steps": 1},
        on(refined),
    ),
    "meta_lstm": Call(
        models.meta_lstm,
        lambda: {"network": network(), "steps": 1, "step_size": 0.1, "hidden": 4, "loss": nn.functional.cross_entropy},
        on(episode),
    ),
    "meta_sgd": Call(
        models.meta_sgd,
        lambda: {"network": network(), "steps": 1, "step_size": 0.1, "loss": nn.functional.cross_entropy},
        on(episode),
    ),
    "na_alista": Call(
        models.na_alista,
        lambda: {
            "dictionary": dictionary(),
            "penalty": 0.1,
            "steps": 2,
            "support": [0.1],
            "step_size": 1.0,
            "decay": 0.8,
            "hidden": 4,
        },
        on(codes),
    ),
    "neural_enhanced_bp": Call(models.neural_enhanced_bp, lambda: {"steps": 1, "hidden": 4}, on(grid)),
    "neural_enhanced_decoder": Call(models.neural_enhanced_decoder, lambda: {"steps": 1, "hidden": 4}, on(grid)),
    "prototypes": Call(models.prototypes, lambda: {"network": network()}, on(episode)),
    "proximal_net": Call(
        models.proximal_net,
        lambda: {"channels": 1, "hidden": 4, "layers": 2, "steps": 1, "is_complex": False},
        on(picture_problem),
    ),
    "learned_clean": Call(
        models.learned_clean,
        lambda: {
            "scales": (0.0, 3.0),
            "bias": (1.0, 0.8),
            "gain": 0.5,
            "share": 0.4,
            "threshold": 1.0,
            "softness": 0.1,
            "steps": 2,
            "gradient": mo.Backprop(),
        },
        on(picture_problem),
    ),
    "radio_rim": Call(
        models.radio_rim,
        lambda: {
            "hidden": 4,
            "kernels": (1,),
            "stride": 1,
            "scales": (2,),
            "steps": 1,
            "trust": 0.5,
            "iterations": 2,
            "gradient": mo.Backprop(),
        },
        on(picture_problem),
    ),
    "rim": Call(
        models.rim,
        lambda: {
            "channels": 1,
            "hidden": 4,
            "kernels": [3],
            "stride": 1,
            "steps": 1,
            "is_complex": False,
            "each_part": False,
            "dims": 2,
            "scales": (),
        },
        on(picture_problem),
    ),
    "save": Call(
        models.save,
        lambda: {
            "net": models.rim(hidden=4, steps=1),
            "path": Path(tempfile.mkdtemp()) / "net.safetensors",
            "card": None,
        },
        lambda path: None,
    ),
    "sgc": Call(models.sgc, lambda: {"features": 3, "classes": 2, "steps": 2}, on(signal)),
    "untie": Call(models.untie, lambda: {"net": models.rim(hidden=4, steps=1)}, on(picture_problem)),
    "weighted_bp": Call(
        models.weighted_bp, lambda: {"steps": 1, "factors": 1, "hidden": 4}, on(grid), but=("factors=3",)
    ),
    "without_estimate": Call(
        models.without_estimate, lambda: {"net": models.rim(hidden=4, steps=1)}, on(picture_problem)
    ),
    "without_memory": Call(models.without_memory, lambda: {"net": models.rim(hidden=4, steps=1)}, on(picture_problem)),
}

"""Optimizers of torch.optim with the options that choose another rule, each a row of (class, options)."""

from __future__ import annotations

from typing import Any

import torch

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "sgd with weight decay": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.1}),
    "sgd, maximize": (torch.optim.SGD, {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8}),
    "dampening": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adam with weight decay": (torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.1}),
    "adam, decoupled": (torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True, "betas": (0.5, 0.6)}),
    "adam, maximize": (torch.optim.Adam, {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.3}),
    "adamw, amsgrad": (torch.optim.AdamW, {"lr": 0.01, "amsgrad": True, "maximize": True}),
    "nadam": (torch.optim.NAdam, {"lr": 0.01, "weight_decay": 0.1}),
    "nadam, decoupled": (torch.optim.NAdam, {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": (torch.optim.RAdam, {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    "radam, decoupled": (torch.optim.RAdam, {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adamax": (torch.optim.Adamax, {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.3}),
    "adagrad with weight decay": (torch.optim.Adagrad, {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    "adadelta": (torch.optim.Adadelta, {"lr": 1.0, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "weight_decay": 0.1}),
    "rmsprop, centered": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "centered": True}),
    "rmsprop with momentum": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.7, "centered": True, "eps": 1e-3}),
    "asgd": (torch.optim.ASGD, {"lr": 0.1, "lambd": 0.1, "t0": 2, "weight_decay": 0.1}),
    "rprop": (torch.optim.Rprop, {"lr": 0.01, "etas": (0.4, 1.3), "step_sizes": (1e-5, 0.1), "maximize": True}),
}

"""Descent with every update, on networks and functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

import metaopt as mo

from ..helpers import Case, normal, positive, seeded
from .problems import few_shot_episode, long_quadratic, tiny_objective


def few_shot_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def learned_adam(network: Callable[..., nn.Module]) -> nn.Module:
    """As if trained: its last layer is not 0."""
    update = seeded(lambda: mo.updates.LearnedAdam(network(hidden=3), epsilon=1e-3))
    update.network.read.weight.data = normal(0, 2, 3)
    return update


def optimizer_case(name: str, build: Callable[[], Any], open: Mapping[str, Any]) -> Case:
    steps = {f"update.{slot}": opening for slot, opening in open.items()}
    memory = None if name.startswith("sgd") else lambda state: state.memory
    return Case(name, lambda: mo.Descent(build()), tiny_objective, steps, steps=4, couples=True, memory=memory)


OPTIMIZERS = [
    optimizer_case(
        "sgd with weight decay",
        lambda: mo.updates.Sgd(0.1, 0.01),
        {"step_size": mo.per_step(4, positive=True), "weight_decay": mo.shared()},
    ),
    optimizer_case(
        "momentum",
        lambda: mo.updates.Momentum(0.1),
        {"step_size": mo.per_step(4), "momentum": mo.shared(interval=(0.0, 1.0))},
    ),
    optimizer_case(
        "nesterov", lambda: mo.updates.Nesterov(0.1), {"step_size": mo.per_step(4), "momentum": mo.shared()}
    ),
    optimizer_case(
        "adam",
        lambda: mo.updates.Adam(0.05, epsilon=1e-3),
        {"step_size": mo.per_step(4), "beta1": mo.shared(), "beta2": mo.shared(), "epsilon": mo.shared()},
    ),
    optimizer_case(
        "adamw",
        lambda: mo.updates.AdamW(0.05, epsilon=1e-3),
        {"step_size": mo.per_step(4), "weight_decay": mo.shared()},
    ),
    optimizer_case(
        "rmsprop",
        lambda: mo.updates.RMSprop(0.05, epsilon=1e-3),
        {"step_size": mo.per_step(4), "smoothing": mo.shared()},
    ),
    optimizer_case(
        "torch.optim.Adagrad",
        lambda: mo.updates.TorchOptim(torch.optim.Adagrad, {"lr": 0.1}),
        {"lr": mo.per_step(4)},
    ),
    Case(
        "meta-sgd",
        lambda: mo.Descent(seeded(lambda: mo.updates.MetaSgd(tiny_objective(0).start(), 0.1))),
        tiny_objective,
        {"update": mo.per_step(4)},
        steps=4,
        couples=True,
    ),
    optimizer_case(
        "coordinatewise lstm", lambda: seeded(lambda: mo.updates.CoordinatewiseLstm(3)), {"scale": positive(4)}
    ),
    optimizer_case(
        "learned adam, perceptron", lambda: learned_adam(mo.networks.Perceptron), {"step_size": positive(4)}
    ),
    optimizer_case("learned adam, recurrent", lambda: learned_adam(mo.networks.Recurrent), {"step_size": positive(4)}),
    Case(
        "few-shot adaptation",
        lambda: mo.Adaptation(seeded(few_shot_mlp), mo.updates.Sgd(0.3)),
        few_shot_episode,
        {"descent.update.step_size": mo.per_step(4)},
        steps=4,
    ),
    Case(
        "meta-lstm",
        lambda: mo.Adaptation(seeded(few_shot_mlp), seeded(lambda: mo.updates.MetaLstm(3, 0.3))),
        few_shot_episode,
        {"descent.update": mo.per_step(4)},
        steps=4,
        memory=lambda state: state.memory,
    ),
    Case(
        "gradient descent on a plain function",
        lambda: mo.Descent(mo.updates.Sgd(0.5)),
        long_quadratic,
        {"update.step_size": mo.shared()},
        fixed_point=100,
    ),
]

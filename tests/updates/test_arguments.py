"""What updates are made of and what they are to update: anything else is a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import metaopt as mo

ODD: dict[str, Any] = {
    "None": None,
    "text": "a",
    "list": [0.5],
    "nan": float("nan"),
    "negative": -1,
    "complex": 1j,
    "sparse": torch.ones(2).to_sparse(),
    "meta": torch.ones((), device="meta"),
    "class": int,
}
CONSTRUCTORS: dict[str, Callable[[Any], Any]] = {
    "hidden of an LSTM": lambda v: mo.updates.CoordinatewiseLstm(hidden=v),
    "layers of an LSTM": lambda v: mo.updates.CoordinatewiseLstm(layers=v),
    "hidden of a meta-LSTM": lambda v: mo.updates.MetaLstm(hidden=v),
    "step size of a meta-LSTM": lambda v: mo.updates.MetaLstm(step_size=v),
    "channels of a GRU": lambda v: mo.updates.ConvGru(v),
    "stride of a GRU": lambda v: mo.updates.ConvGru(1, stride=v),
    "square decay": lambda v: mo.updates.LearnedAdam(square_decay=v),
    "epsilon": lambda v: mo.updates.LearnedAdam(epsilon=v),
    "extra": lambda v: mo.updates.ComplexAsBatch(mo.updates.ConvGru(1), extra=v),
    "wrapped update": lambda v: mo.updates.WithoutMemory(v),
    "options of an optimizer of torch": lambda v: mo.updates.TorchOptim(torch.optim.Adagrad, v),
    "network of weights": lambda v: mo.optim.load(v),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_an_argument_of_the_wrong_kind_is_a_sentence(name: str, odd: str) -> None:
    if name.startswith("options") and odd == "None":
        pytest.skip("they are the defaults")
    with pytest.raises(mo.MetaoptError):
        CONSTRUCTORS[name](ODD[odd])


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd != "list"])  # which is one value a step
def test_an_option_of_torch_that_is_no_number_is_a_sentence(odd: str) -> None:
    with pytest.raises(mo.MetaoptError):
        mo.updates.TorchOptim(torch.optim.Adagrad, {"lr": ODD[odd]})


UPDATES: dict[str, Callable[[], Any]] = {
    "Sgd": lambda: mo.updates.Sgd(0.1),
    "Momentum": lambda: mo.updates.Momentum(0.1),
    "Nesterov": lambda: mo.updates.Nesterov(0.1),
    "Adam": mo.updates.Adam,
    "AdamW": mo.updates.AdamW,
    "RMSprop": mo.updates.RMSprop,
    "LearnedAdam": mo.updates.LearnedAdam,
    "CoordinatewiseLstm": lambda: mo.updates.CoordinatewiseLstm(4),
    "MetaLstm": lambda: mo.updates.MetaLstm(4),
}


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize(
    "x",
    [None, [1.0], 3, torch.ones(3, dtype=torch.long), torch.ones(3).to_sparse(), torch.ones(3).to(torch.float8_e4m3fn)],
    ids=["None", "numbers", "number", "whole numbers", "sparse", "eight bits"],
)
def test_x_of_another_kind_is_refused_before_the_first_step(name: str, x: Any) -> None:
    with pytest.raises(mo.MetaoptError, match=rf"{name} updates (a tensor or|dense tensors)"):
        UPDATES[name]().init(x, ())


@pytest.mark.parametrize("name", ["LearnedAdam", "CoordinatewiseLstm", "MetaLstm"])
def test_a_learned_update_says_that_its_weights_have_another_dtype(name: str) -> None:
    update = UPDATES[name]().float()
    with pytest.raises(mo.MetaoptError, match=rf"weights of {name} are .*update.to\('cpu', torch.float64\)"):
        update.init(torch.ones(3, dtype=torch.float64), ())


STEPS: dict[str, Callable[[Any], Any]] = {
    "Sgd": mo.updates.Sgd,
    "Momentum": mo.updates.Momentum,
    "Nesterov": mo.updates.Nesterov,
    "Adam": mo.updates.Adam,
    "AdamW": mo.updates.AdamW,
    "RMSprop": mo.updates.RMSprop,
    "LearnedAdam": lambda v: mo.updates.LearnedAdam(step_size=v),
    "MapEstimation": lambda v: mo.MapEstimation(mo.priors.TotalVariation(0.1, smoothing=0.1), v),
    "ProximalGradient": lambda v: mo.ProximalGradient(mo.priors.TotalVariation(0.1), v),
}


@pytest.mark.parametrize("value", [-1.0, torch.tensor([0.1, -0.1]), mo.shared(-0.1), mo.per_step(2, [0.1, -1e-9])])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_size_below_zero_which_would_climb_is_refused(name: str, value: Any) -> None:
    with pytest.raises(mo.MetaoptError, match="step_size must be a number of at least 0"):
        STEPS[name](value)
    STEPS[name](0.0)


def test_a_step_size_below_zero_is_refused_by_whatever_fills_the_slot() -> None:
    opening = mo.per_step(3, -0.1)
    for algorithm, slot in ((mo.Descent(mo.updates.Sgd(0.1)), "update.step_size"), (mo.updates.Adam(), "step_size")):
        with pytest.raises(mo.MetaoptError, match=r"step_size must be a number of at least 0, but got -0.1"):
            mo.parameterize(algorithm, {slot: opening})
    x = {"a": torch.ones(2)}
    with pytest.raises(mo.MetaoptError, match="at least 0"):
        mo.updates.MetaSgd(x, -0.1)
    with pytest.raises(mo.MetaoptError, match="at least 0"):
        mo.models.alista(torch.eye(3), 0.1, 2, step_size=-1.0)

"""Trained optimizers: they load by name, go further than Adam on what they learned, and say what they are not."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import metaopt as mo
from metaopt.optim import as_torch, load, trained
from metaopt.tasks import NetworkTrainings, Quadratics, held_out, mlp
from metaopt.weights import save_tensors


def test_both_are_there() -> None:
    assert trained() == ["optimizer_digits", "optimizer_quadratics"]


@torch.no_grad()
def final(update: nn.Module, task: object) -> float:
    problem, _ = held_out(task)  # type: ignore[arg-type]
    return float(problem.energy(mo.unroll(mo.Descent(update), 100, keep="last")(problem).final))


def test_on_what_they_learned_they_go_further_than_adam() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    data = torch.from_numpy(images[1000:] / 16).float(), torch.from_numpy(labels[1000:]).long()
    tasks = {
        "optimizer_digits": NetworkTrainings(mlp([64, 20, 10]), data, trainings=4),
        "optimizer_quadratics": Quadratics(batch=500),
    }
    for name, task in tasks.items():
        classical = min(final(mo.updates.Adam(rate), task) for rate in (0.03, 0.06, 0.1, 0.14, 0.2))
        assert final(load(name), task) < 0.8 * classical


def test_a_network_of_ones_own_is_trained_by_name() -> None:
    torch.manual_seed(0)
    net, x = mlp([3, 8, 2], nn.Tanh), torch.randn(64, 3)
    y = (x[:, 0] * x[:, 1] > 0).long()
    optimizer = as_torch(load("optimizer_digits"), net.parameters())
    before = F.cross_entropy(net(x), y).item()
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    after = F.cross_entropy(net(x), y).item()
    assert after < 0.5 * before
    again = copy.deepcopy(optimizer)
    assert again.state_dict()["state"][0]["step"] == 100


def test_what_is_no_optimizer_is_a_sentence(tmp_path: Path) -> None:
    for name in ("adam", "denoise_grey", ""):
        with pytest.raises(
            mo.MetaoptError, match=r"no trained optimizer .*there are optimizer_digits, optimizer_quadr"
        ):
            load(name)
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.zeros(1)}, {})
    path.with_suffix(".json").write_text(json.dumps({"kind": "rim", "model": {}}))
    with pytest.raises(mo.MetaoptError, match=r"are those of metaopt\.models\.rim, not of an optimizer"):
        load(path)
    with pytest.raises(mo.MetaoptError, match="need their card beside them"):
        load(tmp_path / "b.safetensors")

"""A checkpoint goes on only in the training it belongs to, and where it is damaged, the one before it does."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import metaopt as mo
from metaopt.files import locked
from metaopt.losses import Supervised, mse, negative_psnr
from metaopt.models import load
from metaopt.training import LearningRate, Settings, train
from metaopt.training.checkpoint import NEWEST, PREVIOUS
from metaopt.weights import load_tensors, save, save_tensors

from . import tiny
from .test_resume import assert_same_run


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    tiny.run(folder)
    return folder


@pytest.fixture
def cut(unbroken: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be damaged."""
    shutil.copytree(unbroken, tmp_path, dirs_exist_ok=True)
    return tmp_path


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def spoil(path: Path) -> None:
    """A NaN that was there when the file was written."""
    tensors, card = load_tensors(path)
    next(iter(tensors.values())).view(-1)[0] = torch.nan
    save_tensors(path, tensors, card)


DAMAGES = [
    flip_a_bit,
    spoil,
    lambda path: path.write_bytes(path.read_bytes()[:-100]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes().replace(b'\\"update\\": 20', b'\\"update\\": 10')),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=["bit", "nan", "cut", "empty", "card"])
def test_a_damaged_checkpoint_is_left_for_the_one_before_it_and_the_run_ends_the_same(
    cut: Path, unbroken: Path, damage: Any
) -> None:
    damage(cut / NEWEST)
    with pytest.warns(mo.MetaoptWarning, match=r"goes on from the checkpoint before it, .*previous"):
        tiny.run(cut)
    assert_same_run(cut, unbroken)


@pytest.mark.parametrize("damage", DAMAGES[:4], ids=["bit", "nan", "cut", "empty"])
def test_where_both_are_damaged_that_is_said(cut: Path, damage: Any) -> None:
    for name in (NEWEST, PREVIOUS):
        damage(cut / name)
    before = {name: (cut / name).read_bytes() for name in (NEWEST, PREVIOUS)}
    with pytest.warns(mo.MetaoptWarning), pytest.raises(mo.MetaoptError, match="no other checkpoint"):
        tiny.run(cut)
    assert before == {name: (cut / name).read_bytes() for name in (NEWEST, PREVIOUS)}


def test_a_damaged_checkpoint_never_takes_the_place_of_the_one_before(cut: Path) -> None:
    flip_a_bit(cut / NEWEST)
    longer = dataclasses.replace(tiny.SETTINGS, updates=21)
    with pytest.warns(mo.MetaoptWarning):
        tiny.run(cut, settings=longer)
    assert load_tensors(cut / NEWEST)[1]["update"] == 21
    assert load_tensors(cut / PREVIOUS)[1]["update"] == 18, "it was saved every 3 updates"


def test_flipped_bits_in_weights_are_noticed(cut: Path) -> None:
    flip_a_bit(cut / "weights.safetensors")
    with pytest.raises(mo.MetaoptError, match=r"weights\.safetensors is damaged: .*another digest"):
        load_tensors(cut / "weights.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"clip": 0.25}}, r"its settings\.clip is 0\.5, but that of this one is 0\.25"),
        ({"settings": {"rate": LearningRate(1e-3, 1e-4, 5)}}, r"settings\.rate\.peak is 0\.003, .* 0\.001"),
        (
            {"settings": {"rate": LearningRate(3e-3, 1e-4, 5, "muon")}},
            r"settings\.rate\.optimizer is 'adam', .* 'muon'",
        ),
        ({"settings": {"steps": (2, 3)}}, r"settings\.steps\.1 is 4, .* 3"),
        ({"loss": Supervised(negative_psnr)}, r"loss\.loss is 'mse', .* 'negative_psnr'"),
        ({"loss": Supervised(mse, weights="last")}, r"loss\.weights is .*, but that of this one is 'last'"),
        ({"loss": lambda net, trajectory, problem, target: mse(trajectory.final, target)}, r"its loss"),
        ({"recipe": {"task": {"call": "other"}}}, r"recipe"),
    ],
)
def test_another_training_does_not_go_on_from_a_checkpoint(cut: Path, unbroken: Path, change: Any, words: str) -> None:
    settings = dataclasses.replace(tiny.SETTINGS, **change.get("settings", {}))
    rest = {key: value for key, value in change.items() if key != "settings"}
    with pytest.raises(mo.MetaoptError, match=rf"belongs to another training: .*{words}.*; train in a new folder"):
        train(tiny.network(), tiny.Noisy(), cut, settings, watch=tiny.WATCH, **rest)
    assert_same_run(cut, unbroken)


def test_more_updates_go_on(cut: Path) -> None:
    _, result = tiny.run(cut, settings=dataclasses.replace(tiny.SETTINGS, updates=22))
    assert result["updates"] == 22


def test_a_checkpoint_of_an_earlier_version_goes_on(cut: Path, unbroken: Path) -> None:
    for name in (NEWEST, PREVIOUS):
        tensors, card = load_tensors(cut / name)
        del card["training"]
        save_file(tensors, cut / name, {"card": json.dumps(card)})  # without a digest
    tiny.run(cut)
    assert_same_run(cut, unbroken)


@dataclasses.dataclass(frozen=True)
class Bounded:
    """A loss with numbers that JSON lacks."""

    high: float = math.inf
    other: float = math.nan

    def __call__(self, net: Any, trajectory: Any, problem: Any, target: Any) -> Any:
        return mse(trajectory.final.clamp(max=self.high), target)


def test_a_loss_with_an_infinite_bound_goes_on_from_its_checkpoint_and_from_those_of_earlier_versions(
    tmp_path: Path,
) -> None:
    def run(updates: int, high: float = math.inf) -> dict[str, Any]:
        settings = dataclasses.replace(tiny.SHORT, updates=updates)
        return train(tiny.network(), tiny.Noisy(), tmp_path, settings, loss=Bounded(high), watch=tiny.WATCH)

    run(3)
    assert run(4)["updates"] == 4
    tensors, card = load_tensors(tmp_path / NEWEST)
    card["training"]["loss"].update(high=math.inf, other=math.nan)
    save_file(tensors, tmp_path / NEWEST, {"card": json.dumps(card)})  # as it was written before
    assert run(5)["updates"] == 5
    with pytest.raises(mo.MetaoptError, match=r"its loss\.high is 'inf', but that of this one is 1\.0"):
        run(6, high=1.0)


@pytest.mark.parametrize(
    ("entries", "tensors", "words"),
    [
        ({"minutes": "a"}, {}, "is not the checkpoint of a training"),
        ({"seed": None}, {}, "is not the checkpoint of a training"),
        ({"update": -1}, {}, "is not the checkpoint of a training"),
        ({"update": 10**30}, {}, "is not the checkpoint of a training"),
        ({"optimizer": None}, {}, "is not the checkpoint of a training"),
        ({"optimizer": {}}, {}, "state of another optimizer"),
        ({}, {"buffer/other": torch.zeros(2)}, "belongs to another network"),
        ({}, {"optimizer/0/exp_avg": torch.zeros(2)}, "state of another optimizer"),
        ({}, {"optimizer/99/exp_avg": torch.zeros(2)}, "state of another optimizer"),
        ({}, {"optimizer/exp_avg": torch.zeros(2)}, "state of another optimizer"),
    ],
)
def test_a_checkpoint_of_another_form_is_a_sentence(
    cut: Path, entries: dict[str, Any], tensors: dict[str, torch.Tensor], words: str
) -> None:
    held, card = load_tensors(cut / NEWEST)
    save_tensors(cut / NEWEST, held | tensors, card | entries)
    with pytest.raises(mo.MetaoptError, match=words):
        tiny.run(cut)


def test_a_checkpoint_that_may_not_be_opened_is_left_as_it_is(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path, **options: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("metaopt.weights.tensors.safe_open", deny)
    with pytest.raises(mo.MetaoptError, match=r"checkpoint\.safetensors cannot be opened \(Permission denied\); check"):
        tiny.run(cut)
    assert (cut / NEWEST).exists()


def test_two_trainings_in_one_folder_are_refused(cut: Path, unbroken: Path) -> None:
    with locked(cut), pytest.raises(mo.MetaoptError, match="is in use: process"):
        tiny.run(cut)
    tiny.run(cut)
    assert_same_run(cut, unbroken)


def test_a_loaded_network_is_trained_and_one_that_is_partly_frozen_keeps_its_part(tmp_path: Path) -> None:
    settings = dataclasses.replace(tiny.SHORT, updates=3)
    save(tiny.network(), tmp_path / "net.safetensors")
    net = load(tmp_path / "net.safetensors")
    before = {n: p.clone() for n, p in net.named_parameters()}
    train(net, tiny.Noisy(), tmp_path / "all", settings)
    assert all(p.requires_grad for p in net.parameters())
    assert any(not torch.equal(p, before[n]) for n, p in net.named_parameters())
    net = load(tmp_path / "net.safetensors")
    first, *others = net.named_parameters()
    first[1].requires_grad_()
    train(net, tiny.Noisy(), tmp_path / "one", settings)
    assert not torch.equal(first[1], before[first[0]])
    assert all(torch.equal(p, before[n]) and not p.requires_grad for n, p in others)


class Odd(mo.Algorithm):
    """Tied weights, a buffer that is not stored, one that changes, and BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 1, 3, padding=1)
        self.second = nn.Conv2d(1, 1, 3, padding=1)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm2d(1)
        self.register_buffer("scratch", torch.zeros(3), persistent=False)

    def init(self, problem: Any) -> Any:
        return problem.y

    def step(self, problem: Any, state: Any, k: int) -> Any:
        return state - 0.1 * self.norm(self.second(self.first(state)))

    def readout(self, problem: Any, state: Any, k: int) -> Any:
        return state


def odd() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return mo.unroll(Odd(), 2).double()


def test_tied_weights_and_buffers_are_saved_as_load_state_dict_wants_them(tmp_path: Path) -> None:
    net = odd()
    train(net, tiny.Noisy(), tmp_path, dataclasses.replace(tiny.SHORT, updates=4))
    other = odd()
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))  # strictly
    problem = tiny.Noisy().sample(0)[0]
    with torch.no_grad():
        assert torch.equal(other.eval()(problem).final, net.eval()(problem).final)


def test_statistics_of_batchnorm_are_in_the_checkpoint(tmp_path: Path) -> None:
    settings = dataclasses.replace(tiny.SETTINGS, updates=6, rate=LearningRate(1e-3, 1e-3, 0))
    train(odd(), tiny.Noisy(), tmp_path / "whole", settings, watch=tiny.WATCH)
    train(odd(), tiny.Noisy(), tmp_path / "cut", dataclasses.replace(settings, updates=3), watch=tiny.WATCH)
    train(odd(), tiny.Noisy(), tmp_path / "cut", settings, watch=tiny.WATCH)
    whole, cut = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[n], cut[n]) for n in whole)


def test_validation_leaves_statistics_and_modes_alone(tmp_path: Path) -> None:
    net = odd()
    net.algorithm.norm.eval()
    before = {n: b.clone() for n, b in net.named_buffers()}
    mo.training.validation_loss(net, tiny.Noisy(), 2)
    assert all(torch.equal(b, before[n]) for n, b in net.named_buffers())
    assert net.training
    assert not net.algorithm.norm.training


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": None}, "The task of a training draws"),
        ({"task": tiny.Noisy}, "but got the class Noisy itself"),
        ({"folder": None}, "The folder must be the path of one, but got None"),
        ({"folder": ["a"]}, "The folder must be"),
        ({"folder": "a\0b"}, "The folder must be"),
        ({"settings": None}, r"settings must be a metaopt\.training\.Settings, but got a NoneType"),
        ({"settings": {"updates": 3}}, "but got a dict"),
        ({"watch": 5}, r"watch must be a metaopt\.training\.Watch"),
        ({"validation": [1]}, "The validation of a training draws"),
        ({"seed": None}, "seed must be a whole number, but got None"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"num_workers": -1}, "num_workers must be a whole number of at least 0"),
        ({"loss": None}, "A loss is called as"),
        ({"net": None}, "train needs an unrolled algorithm"),
        ({"net": mo.unroll(mo.Descent(mo.updates.Sgd(0.1)), 2)}, "no parameters"),
    ],
)
def test_arguments_of_the_wrong_type_are_sentences(tmp_path: Path, change: Any, words: str) -> None:
    given = {"net": tiny.network(), "task": tiny.Noisy(), "folder": tmp_path / "out"} | change
    with pytest.raises(mo.MetaoptError, match=words):
        train(**given)
    assert not (tmp_path / "out").exists()


class Lone:
    """A task that forgets the target."""

    def sample(self, seed: int) -> Any:
        return tiny.Noisy().sample(seed)[0]


def test_a_task_draws_pairs(tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match=r"returns a pair \(problem, target\).*returned a InverseProblem"):
        train(tiny.network(), Lone(), tmp_path, tiny.SETTINGS)


@pytest.mark.parametrize("weights", [None, "first", [], [-1.0], [1, None], 5])
def test_step_weights_that_cannot_be_are_refused_at_once(weights: Any) -> None:
    with pytest.raises(mo.MetaoptError, match="tep weights"):
        Settings(weights=weights)

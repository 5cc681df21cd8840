"""Only the training that wrote a checkpoint goes on from it: same task, loss, validation, network and settings."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt.core.gradients import Backprop, Checkpointed, Truncated
from metaopt.losses import Supervised, mse
from metaopt.training import LearningRate, Settings, Watch, train
from metaopt.training.checkpoint import NEWEST, PREVIOUS
from metaopt.training.description import Descriptions
from metaopt.weights import load_tensors, save_tensors

from . import tiny

SETTINGS = Settings(updates=2, steps=(1, 1), rate=LearningRate(1e-3, 1e-4, 0))
SCALE = 1.0


@dataclass
class Scaled:
    """Pictures of a given noise; what is drawn is kept where no comparison looks."""

    noise: float = 0.3
    picture: Any = None
    filters: Any = ()
    change: Any = abs
    drawn: list[int] = field(default_factory=list, compare=False)

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor]:
        self.drawn.append(seed)
        return tiny.Noisy().sample(seed)


class Free:
    """A task that is no dataclass, with a generator and a lazily filled cache."""

    def __init__(self, noise: float):
        self.noise, self.generator, self.cache = noise, torch.Generator(), {}

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor]:
        self.cache[seed] = torch.rand(1, generator=self.generator)
        return tiny.Noisy().sample(seed)


class Other(Free):
    """Draws other pictures."""

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor]:
        return super().sample(seed + 1)


class Halving(mo.Algorithm):
    """An algorithm that no call of the library makes."""

    def __init__(self, rate: float = 0.5, change: Any = torch.tanh):
        super().__init__()
        self.layer, self.rate, self._change = nn.Conv2d(1, 1, 1), rate, change

    def init(self, problem: Any) -> Any:
        return problem.y

    def step(self, problem: Any, state: Any, k: int) -> Any:
        return state - self.rate * self._change(self.layer(state))

    def readout(self, problem: Any, state: Any, k: int) -> Any:
        return state


def halving(*arguments: Any, frozen: bool = False, bias: float = 0.0) -> Any:
    net = mo.unroll(Halving(*arguments), 1).double()
    nn.init.constant_(net.algorithm.layer.bias, bias)
    net.algorithm.layer.bias.requires_grad_(not frozen)
    return net


def machine(steps: int = 2, gradient: Any = Truncated(2)) -> Any:  # noqa: B008
    return mo.models.rim(hidden=3, steps=steps, gradient=gradient).double()


def weighted(weight: float) -> Any:
    return lambda net, trajectory, problem, target: weight * mse(trajectory.final, target)


def scaled(net: Any, trajectory: Any, problem: Any, target: Any) -> Tensor:
    return SCALE * mse(trajectory.final, target)


class Weighted:
    """A loss that is an object."""

    def __init__(self, weight: float):
        self.weight = weight

    def __call__(self, net: Any, trajectory: Any, problem: Any, target: Any) -> Tensor:
        return self.weight * mse(trajectory.final, target)


def squared(power: int) -> Any:
    return Supervised(lambda output, target: ((output - target) ** power).mean())


PICTURE = torch.arange(6.0)
LONG = [float(i) for i in range(100)]
ROWS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"task": Scaled(0.3)}, {"task": Scaled(0.5)}, r"its task\.noise is 0\.3, but that of this one is 0\.5"),
    ({"task": Scaled(picture=PICTURE)}, {"task": Scaled(picture=PICTURE.flip(0))}, r"the content of its task\.picture"),
    ({"task": Scaled(picture=PICTURE)}, {"task": Scaled(picture=torch.zeros(5))}, r"its task\.picture is .*6.* 5|5"),
    ({"task": Scaled(picture=np.eye(2))}, {"task": Scaled(picture=2 * np.eye(2))}, r"the content of its task\.picture"),
    ({"task": Scaled(filters=LONG)}, {"task": Scaled(filters=[*LONG[:-1], 0.0])}, r"the content of its task\.filters"),
    ({"task": Scaled(picture=Scaled(0.1))}, {"task": Scaled(picture=Scaled(0.2))}, r"its task\.picture\.noise is 0\.1"),
    ({"task": Scaled(change=lambda x: x)}, {"task": Scaled(change=lambda x: -x)}, r"the code, .* of its task\.change"),
    ({"task": Scaled(change=nn.ReLU())}, {"task": Scaled(change=nn.Tanh())}, r"its task\.change is 'ReLU'"),
    ({"task": Scaled(change=nn.ELU(0.5))}, {"task": Scaled(change=nn.ELU(0.7))}, r"task\.change\.alpha is 0\.5"),
    ({"task": Scaled(change=[1, 2])}, {"task": Scaled(change=[1, 2, 3])}, r"change\.2 is nothing"),
    ({"task": Free(0.3)}, {"task": Free(0.4)}, r"its task\.noise is 0\.3"),
    ({"task": Free(0.3)}, {"task": Other(0.3)}, r"its task is 'Free', but that of this one is 'Other'"),
    ({"task": Scaled()}, {"task": Free(0.3)}, r"its task"),
    ({"loss": weighted(1.0)}, {"loss": weighted(2.0)}, r"its loss\.variables\.weight is 1\.0"),
    ({"loss": squared(2)}, {"loss": squared(4)}, r"its loss\.loss\.variables\.power is 2"),
    ({"loss": scaled}, {"loss": lambda n, j, p, t: mse(j.final, t)}, r"its loss is 'scaled', .* '<lambda>'"),
    (
        {"loss": lambda n, j, p, t: mse(j.final, t)},
        {"loss": lambda n, j, p, t: mse(j.final, 2 * t)},
        r"the code, or what it reads, of its loss",
    ),
    (
        {"loss": lambda n, j, p, t, weight=1.0: weight * mse(j.final, t)},
        {"loss": lambda n, j, p, t, weight=3.0: weight * mse(j.final, t)},
        r"loss\.defaults\.0 is 1\.0",
    ),
    (
        {"loss": functools.partial(lambda n, j, p, t, w: w * mse(j.final, t), w=1.0)},
        {"loss": functools.partial(lambda n, j, p, t, w: w * mse(j.final, t), w=2.0)},
        r"loss\.2\.w is 1\.0",
    ),
    ({"loss": Weighted(1.0)}, {"loss": Weighted(2.0)}, r"its loss\.weight is 1\.0"),
    ({"loss": Weighted(1.0).__call__}, {"loss": Weighted(2.0).__call__}, r"its loss\.self\.weight is 1\.0"),
    ({"validation": Scaled(0.1)}, {"validation": Scaled(0.2)}, r"its validation\.noise is 0\.1"),
    ({"net": halving}, {"net": lambda: halving(0.25)}, r"network\.algorithm\.rate is 0\.5"),
    ({"net": halving}, {"net": lambda: halving(0.5, torch.sin)}, r"network\.algorithm\._change"),
    ({"net": halving}, {"net": lambda: halving(frozen=True)}, r"frozen\.algorithm\.layer\.bias is nothing"),
    (
        {"net": lambda: halving(frozen=True)},
        {"net": lambda: halving(frozen=True, bias=1.0)},
        r"the content of its frozen\.algorithm\.layer\.bias",
    ),
    ({"net": tiny.network}, {"net": lambda: machine(steps=3)}, r"network\.steps is 2"),
    ({"net": tiny.network}, {"net": lambda: machine(gradient=Truncated(1))}, r"network\.gradient\.last is 2"),
    ({}, {"settings": dataclasses.replace(SETTINGS, ema=0.5)}, r"settings\.ema is 0\.999"),
]


def run(folder: Path, given: dict[str, Any]) -> Any:
    task, settings = given.get("task", tiny.Noisy()), given.get("settings", SETTINGS)
    rest = {key: value for key, value in given.items() if key in ("loss", "validation")}
    return train(given.get("net", halving)(), task, folder, settings, watch=Watch(batches=1), **rest)


@pytest.mark.parametrize(("first", "second", "words"), ROWS)
def test_what_differs_is_named_and_what_is_the_same_goes_on(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], words: str
) -> None:
    run(tmp_path, first)
    assert run(tmp_path, first)["loss"] is None, "the same goes on, in the same process and with the same objects"
    before = (tmp_path / NEWEST).read_bytes()
    with pytest.raises(mo.MetaoptError, match=rf"belongs to another training: .*{words}.*; train in a new folder"):
        run(tmp_path, second)
    assert (tmp_path / NEWEST).read_bytes() == before


def test_a_variable_of_the_module_that_a_loss_reads_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, {"loss": scaled})
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0)
    with pytest.raises(mo.MetaoptError, match=r"loss\.variables\.SCALE is 1\.0, but that of this one is 2\.0"):
        run(tmp_path, {"loss": scaled})


def test_strategies_of_the_same_gradient_may_take_turns(tmp_path: Path) -> None:
    run(tmp_path, {"net": lambda: machine(gradient=Backprop())})
    assert run(tmp_path, {"net": lambda: machine(gradient=Checkpointed(1))})["updates"] == 2


def test_a_training_may_go_on_with_and_without_a_validation(tmp_path: Path) -> None:
    run(tmp_path, {})
    assert run(tmp_path, {"validation": Scaled()})["validation"] is not None


@pytest.mark.parametrize("lost", ["all", "versions", "python"])
def test_what_earlier_versions_did_not_record_is_not_compared(tmp_path: Path, lost: str) -> None:
    given = {"loss": squared(2), "task": Scaled()}
    run(tmp_path, given)
    for path in (tmp_path / NEWEST, tmp_path / PREVIOUS):
        if not path.exists():
            continue
        tensors, card = load_tensors(path)
        if lost == "all":  # as version 0.1.0 wrote it
            loss = {"class": "Supervised", "loss": "squared.<locals>.<lambda>", "weights": None}
            card["training"] = {
                "settings": card["training"]["settings"],
                "loss": loss,
                "task": "Scaled",
                "recipe": None,
            }
        elif lost == "versions":
            del card["training"]["network"]
            card["training"]["versions"] = "metaopt 0.0"
        else:
            card["training"]["loss"]["loss"]["code"] = "of another Python"
            card["training"]["versions"] = "Python 2"
        save_tensors(path, tensors, card)
    assert run(tmp_path, given)["updates"] == 2
    with pytest.raises(mo.MetaoptError, match="its task is 'Scaled', but that of this one is 'Free'"):
        run(tmp_path, {**given, "task": Free(1.0)})


PROGRAM = """
import json
from tests.training import test_identity as t
from metaopt.training.description import Descriptions
values = [row[i] for row in t.ROWS for i in (0, 1)]
values = [{k: v() if k == "net" else v for k, v in value.items()} for value in values]
print(json.dumps([Descriptions(trained=True).of(v) for v in values], sort_keys=True))
"""


def test_a_description_is_the_same_in_every_process_and_folder(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    told = []
    for seed, folder in (("1", root), ("2", str(tmp_path))):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, env=env, capture_output=True, check=True)
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
    assert "0x" not in json.dumps(told[0])


def test_a_description_stays_small_and_ends(tmp_path: Path) -> None:
    loop: list[Any] = [1]
    loop.append({"back": loop})
    deep: Any = 0
    for _ in range(2000):
        deep = [deep]
    (tmp_path / "data.bin").write_bytes(b"12345")
    many = [loop, deep, "x" * 10**6, list(range(10**5)), 10**100, float("nan"), tmp_path / "data.bin", {1: {"a", "b"}}]
    assert len(json.dumps(Descriptions().of(many), allow_nan=False)) < 2000


class Counting(Free):
    """It counts what it draws, keeps it, and fills attributes when they are needed."""

    def __init__(self, noise: float):
        super().__init__(noise)
        self.count, self.seeds, self.last, self.parts = 0, [], None, {"inner": Scaled(noise)}

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor]:
        self.count += 1
        self.seeds.append(seed)
        self.last, self.late = torch.full((self.count,), seed), {"seed": seed}
        self.parts["inner"].change = self.count
        return super().sample(seed)


def test_what_a_task_changes_while_it_is_drawn_from_does_not_make_it_another(tmp_path: Path) -> None:
    task, short = Counting(0.3), dataclasses.replace(SETTINGS, rate=LearningRate(1e-3, 1e-3, 0))
    longer = dataclasses.replace(short, updates=4)
    whole = train(tiny.network(), Counting(0.3), tmp_path / "whole", longer, Counting(0.1))
    train(tiny.network(), task, tmp_path / "a", short, Counting(0.1))
    assert task.count
    result = train(tiny.network(), task, tmp_path / "a", longer, Counting(0.1))
    assert (result["loss"], result["updates"]) == (whole["loss"], 4)
    train(tiny.network(), Counting(0.3), tmp_path / "a", longer)  # as in another process
    other = Counting(0.3)
    other.parts["inner"].noise = 0.5
    for another, place in ((Counting(0.4), r"its task\.noise is 0\.3"), (other, r"its task\.parts\.inner\.noise")):
        with pytest.raises(mo.MetaoptError, match=place):
            train(tiny.network(), another, tmp_path / "a", longer)


def test_a_counter_of_a_network_or_of_a_loss_does_not_make_it_another(tmp_path: Path) -> None:
    class Counted(Weighted):
        def __call__(self, *arguments: Any) -> Tensor:
            self.calls = getattr(self, "calls", 0) + 1
            return super().__call__(*arguments)

    class Ticking(Halving):
        ticks = 0

        def step(self, problem: Any, state: Any, k: int) -> Any:
            self.ticks += 1
            return super().step(problem, state, k)

    loss, net = Counted(1.0), mo.unroll(Ticking(), 1).double()
    for updates in (2, 3):
        train(net, Scaled(), tmp_path, dataclasses.replace(SETTINGS, updates=updates), loss=loss)
    loss.weight = 2.0
    with pytest.raises(mo.MetaoptError, match=r"its loss\.weight is 1\.0"):
        train(net, Scaled(), tmp_path, SETTINGS, loss=loss)

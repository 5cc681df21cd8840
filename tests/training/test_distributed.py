"""Two processes train as one does, and stop together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import metaopt as mo
from metaopt.training import LearningRate, Settings, train
from metaopt.training.distributed import Workers
from metaopt.training.feed import batch_seed
from metaopt.training.log import read_log

from .. import ranks
from . import tiny

ROOT = Path(__file__).parents[2]
SHORT = Settings(updates=4, steps=(2, 4), rate=LearningRate(3e-3, 1e-4, 2), clip=0.05, ema=0.6)


@dataclass(frozen=True)
class Joined:
    """The batches of each update joined into one, as tiny.Noisy draws them for ``count`` of them."""

    count: int
    updates: int = SHORT.updates

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor]:
        update = next(u for u in range(self.updates) if batch_seed(0, u, 0) == seed)
        parts = [tiny.Noisy().sample(batch_seed(0, update, j)) for j in range(self.count)]
        y, target = torch.cat([p.y for p, _ in parts]), torch.cat([t for _, t in parts])
        return mo.InverseProblem(mo.operators.Identity(), y, 0.3), target


def _mine(folder: Path, rank: int) -> Path:
    """The folder of the first process, and of the others one that only they would write in."""
    return folder if rank == 0 else folder.with_name(f"{folder.name}_of_rank_{rank}")


def _trained(
    rank: int, folder: Path, settings: Settings = SHORT, make: Callable[..., Any] = tiny.network, task: Any = None
) -> tuple[dict[str, Any], float, float]:
    """Train from weights that differ in every process."""
    net, result = tiny.run(_mine(folder, rank), make(seed=rank), task, settings)
    return {n: t.numpy() for n, t in net.state_dict().items()}, result["loss"], result["validation"]


def _same(one: Path, two: Path, tolerance: float = 1e-10) -> None:
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        ours, theirs = (load_file(folder / name) for folder in (one, two))
        assert ours.keys() == theirs.keys()
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=tolerance, msg=key)


@pytest.mark.parametrize("batches", [2, 4])
def test_two_processes_equal_one(tmp_path: Path, batches: int) -> None:
    """Even where the second process starts from other weights: the first one's count. The second one writes nothing."""
    settings = replace(SHORT, batches=batches)
    first, second = ranks.run(tmp_path, _trained, tmp_path / "two", settings)
    tiny.run(tmp_path / "one", settings=settings)
    _same(tmp_path / "one", tmp_path / "two")
    rows = [read_log(tmp_path / folder / "log.csv") for folder in ("one", "two")]
    for ours, theirs in zip(*rows, strict=True):
        for column in ("loss", "gradient_norm", "validation"):
            assert abs(float(ours[column] or 0) - float(theirs[column] or 0)) < 1e-10
    assert first[1:] == second[1:]
    assert all((first[0][name] == second[0][name]).all() for name in first[0])
    assert not _mine(tmp_path / "two", 1).exists()


@pytest.mark.parametrize(("world", "batches"), [(1, 3), (2, None), (2, 4)])
def test_accumulated_batches_equal_one_batch_of_them_all(tmp_path: Path, world: int, batches: int | None) -> None:
    """By default each process draws one batch."""
    settings = replace(SHORT, steps=(2, 2), batches=batches)
    ranks.run(tmp_path, _trained, tmp_path / "parts", settings, world=world)
    tiny.run(tmp_path / "whole", task=Joined(batches or world), settings=replace(settings, batches=1))
    _same(tmp_path / "parts", tmp_path / "whole")


def test_a_training_goes_on_in_another_number_of_processes(tmp_path: Path) -> None:
    """From two processes to one and back to two."""
    settings = replace(SHORT, updates=6, batches=2)
    for updates, world in ((2, 2), (4, 1), (6, 2)):
        rates = replace(settings.rate, peak=1e-3, final=1e-3, warmup=0)  # which do not depend on the updates
        ranks.run(tmp_path, _trained, tmp_path / "parts", replace(settings, updates=updates, rate=rates), world=world)
    tiny.run(tmp_path / "whole", settings=replace(settings, rate=rates))
    _same(tmp_path / "whole", tmp_path / "parts")


def test_batches_of_each_process_cannot_go_on_in_another_number_of_them(tmp_path: Path) -> None:
    ranks.run(tmp_path, _trained, tmp_path / "run", SHORT)
    with pytest.raises(
        mo.MetaoptError, match=r"batches is 2, but that of this one is 1 .*batches=2 goes on from there"
    ):
        tiny.run(tmp_path / "run", settings=SHORT)
    assert tiny.run(tmp_path / "run", settings=replace(SHORT, batches=2, updates=5))[1]["updates"] == 5


def test_batches_that_cannot_be_shared_evenly_are_refused() -> None:
    with pytest.raises(mo.MetaoptError, match=r"3 batches, which 2 processes.*multiple of 2"):
        Workers(0, 2).share(3)
    assert [list(Workers(rank, 2).share(4)) for rank in (0, 1)] == [[0, 2], [1, 3]]


class Steep(nn.Module):
    """A change whose value is 0 and whose gradient with respect to its weight is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def init(self, x: Tensor, context: Any) -> tuple[()]:
        return ()

    def forward(self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: Any) -> tuple[Tensor, Any]:
        steep = self.weight.sqrt() if float(x.detach().sum()) < 0 else self.weight
        return steep * torch.ones_like(x), memory


@dataclass(frozen=True)
class Signs:
    """Sums of y below zero where ``seed`` is that of the second process's batch in update 1."""

    fails: bool = False

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor]:
        second = seed == batch_seed(0, 1, 1)
        if self.fails and second:
            raise KeyError("a picture is gone")
        y = torch.full((2, 1, 6, 6), -1.0 if second else 1.0, dtype=torch.float64)
        return mo.InverseProblem(mo.operators.Identity(), y, 0.3), y.clamp(min=0)


def _steep(seed: int) -> mo.core.Unrolled:
    return mo.unroll(mo.Descent(Steep()), 2)


@pytest.mark.parametrize(
    ("task", "make", "cause"),
    [
        (tiny.Noisy(batch_seed(0, 1, 1)), tiny.network, "at update 1: the loss is inf on the batch of seed"),
        (Signs(), _steep, "at update 1: the loss is 1.0 on the batch of seed"),
        (Signs(fails=True), _steep, "KeyError: 'a picture is gone'"),
    ],
    ids=["loss", "gradient", "task"],
)
def test_what_fails_in_one_process_stops_all_with_a_sentence_that_names_its_rank(
    tmp_path: Path, task: Any, make: Callable[..., Any], cause: str
) -> None:
    sentence, other = ranks.sentences(tmp_path, _trained, tmp_path / "run", replace(SHORT, batches=2), make, task)
    assert other == sentence
    assert sentence.startswith("Rank 1 stopped the training of all 2 processes: ")
    assert cause in sentence
    if "seed" in cause:
        assert f"seed {batch_seed(0, 1, 1)}" in sentence


def test_what_the_first_process_cannot_do_stops_the_others(tmp_path: Path) -> None:
    tiny.run(tmp_path / "run", settings=SHORT, seed=5)
    sentence, other = ranks.sentences(tmp_path, _trained, tmp_path / "run", replace(SHORT, batches=2))
    assert other == sentence
    assert sentence.startswith("Rank 0 stopped the training of all 2 processes: ")
    assert "belongs to a" in sentence


def _otherwise(rank: int, folder: Path) -> Any:
    return _trained(rank, folder, replace(SHORT, updates=4 + rank))


def test_processes_that_were_told_different_things_are_refused(tmp_path: Path) -> None:
    said = ranks.sentences(tmp_path, _otherwise, tmp_path / "run")
    assert all("are given the same settings, but rank 1 got Settings(updates=5" in sentence for sentence in said)
    assert not (tmp_path / "run" / "log.csv").exists()


class Late(nn.Module):
    """A change whose second weight counts from the second step on, and which draws, and counts what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = (nn.Parameter(torch.full((), v, dtype=torch.float64)) for v in (-0.01, -0.02))
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))

    def init(self, x: Tensor, context: Any) -> tuple[()]:
        return ()

    def forward(self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: Any) -> tuple[Tensor, Any]:
        if self.training:
            self.seen += x.detach().sum()
            gradient = gradient + 0.1 * torch.randn_like(gradient)
        return (self.late if k else self.early) * (gradient + x), memory


def _late(seed: int = 0) -> mo.core.Unrolled:
    return mo.unroll(mo.Descent(Late()), 2)


def test_draws_and_unused_parameters_are_as_in_one_process(tmp_path: Path) -> None:
    """With one step in some batches of one process and two in others, and noise from the global generator."""
    settings = replace(SHORT, steps=(1, 2), batches=2, updates=6)
    drawn = [[settings.steps_at(batch_seed(0, u, j)) for j in (0, 1)] for u in range(6)]
    assert [1, 2] in drawn or [2, 1] in drawn
    first, second = ranks.run(tmp_path, _trained, tmp_path / "two", settings, _late)
    tiny.run(tmp_path / "one", _late(), settings=settings)
    ours, theirs = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name in (n for n in ours if not n.endswith("seen")):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-10)
    assert len({float(of["algorithm.update.module.seen"]) for of in (first[0], second[0], theirs)}) == 1


def _averaged(rank: int) -> tuple[list[Any], float]:
    """Gradients 1 + rank of several dtypes and layouts; the third parameter has one in the second process alone."""
    kinds = (torch.float32, torch.complex64, torch.float64, torch.float64)
    parameters = [nn.Parameter(torch.zeros(2, 3, 1, 2, dtype=kind)) for kind in kinds]
    for parameter in parameters[: 2 + rank]:
        value = complex(1, rank) if parameter.is_complex() else 1 + rank
        parameter.grad = torch.full_like(parameter, value).to(memory_format=torch.channels_last)
    frozen = nn.Parameter(torch.zeros(1), requires_grad=False)
    loss = Workers(rank, 2).average([frozen, *parameters], torch.tensor(float(rank)))
    return [None if p.grad is None else list(set(p.grad.flatten().tolist())) for p in parameters], float(loss)


def test_gradients_of_every_dtype_are_averaged_and_lacking_ones_count_as_zero(tmp_path: Path) -> None:
    """Where no process has one, there is none afterwards."""
    for gradients, loss in ranks.run(tmp_path, _averaged):
        assert gradients == [[1.5], [1 + 0.5j], [1.0], None]
        assert loss == 0.5


def test_processes_that_are_announced_and_not_there_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(mo.MetaoptError, match=r"The 2 processes that WORLD_SIZE announces cannot be joined .*torchrun"):
        train(tiny.network(), tiny.Noisy(), "nowhere", SHORT)


@pytest.mark.slow
def test_torchrun_trains_by_a_recipe_and_one_process_speaks(tmp_path: Path) -> None:
    """A recipe that says nothing of processes: each draws one batch for an update."""
    recipe = tiny.write_recipe(tmp_path)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "-m", "metaopt", "train", str(recipe), "--out", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("6 updates in") == 1
    card = mo.weights.read_card(tmp_path / "run" / "weights.safetensors")
    assert card["updates"] == 6
    assert len(card["curve"]) == 1
    one = tmp_path / "one.yaml"
    one.write_text(recipe.read_text().replace("settings:", "settings:\n  batches: 2"))
    mo.training.run_recipe(one, tmp_path / "one")
    _same(tmp_path / "one", tmp_path / "run", 1e-5)

"""The training loop's numbers: rate, clipping, average, loss, and what it says when a number is not finite."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import metaopt as mo
from metaopt.losses import mse
from metaopt.training import LearningRate, Settings, Watch, train
from metaopt.training.log import read_log
from metaopt.training.loop import batch_seed
from metaopt.weights import load_tensors

from . import tiny


@pytest.mark.parametrize(
    ("update", "rate"),
    [
        (0, 1.0 / 4),
        (3, 1.0),
        (4, 1.0),
        (4 + 4, 0.2 + 0.8 * (1 + 2**-0.5) / 2),
        (4 + 8, (1.0 + 0.2) / 2),
        (20, 0.2),
        (25, 0.2),
    ],
)
def test_the_rate_rises_linearly_and_falls_by_half_a_cosine(update: int, rate: float) -> None:
    assert math.isclose(LearningRate(peak=1.0, final=0.2, warmup=4).at(update, 20), rate, rel_tol=1e-14)


def test_seeds_of_batches_are_distinct() -> None:
    seeds = [batch_seed(s, u, j) for s in range(3) for u in range(300) for j in range(4)]
    assert len(set(seeds)) == len(seeds)


def by_hand(settings: Settings) -> tuple[nn.Module, dict[str, torch.Tensor], list[dict[str, float]]]:
    """The same training, written out plainly."""
    net = tiny.network()
    average = {n: p.detach().clone() for n, p in net.named_parameters()}
    optimizer, records = torch.optim.Adam(net.parameters()), []
    for u in range(settings.updates):
        losses = []
        for j in range(settings.batches):
            seed = batch_seed(7, u, j)
            problem, target = tiny.Noisy().sample(seed)
            outputs = net(problem, steps=settings.steps_at(seed)).outputs[-2:]  # what Truncated(2) differentiates
            losses.append(sum(mse(x, target) for x in outputs) / len(outputs))
        loss = sum(losses) / len(losses)
        grads = torch.autograd.grad(loss, list(net.parameters()))
        norm = math.sqrt(sum(float(g.square().sum()) for g in grads))
        for parameter, grad in zip(net.parameters(), grads, strict=True):
            parameter.grad = grad * min(1.0, settings.clip / (norm + 1e-6))  # as torch does
        optimizer.param_groups[0]["lr"] = settings.rate.at(u, settings.updates)
        optimizer.step()
        decay = min(settings.ema, (u + 1) / (u + 11))
        average = {n: decay * average[n] + (1 - decay) * p.detach() for n, p in net.named_parameters()}
        records.append({"loss": loss.item(), "gradient_norm": norm, "rate": settings.rate.at(u, settings.updates)})
    return net, average, records


def test_a_training_is_the_one_written_by_hand(tmp_path: Path) -> None:
    """Loss, gradient norm before clipping, clipping, rate, Adam, the average: all to rounding, in float64."""
    settings = Settings(updates=8, steps=(2, 4), rate=LearningRate(3e-3, 1e-4, 3), clip=0.02, ema=0.4, batches=2)
    net, average, records = by_hand(settings)
    ours, result = tiny.run(tmp_path, settings=settings, seed=7)
    checkpoint = load_file(tmp_path / "checkpoint.safetensors")
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(checkpoint[f"parameter/{name}"], parameter.detach(), rtol=1e-7, atol=1e-11)
        torch.testing.assert_close(checkpoint[f"average/{name}"], average[name], rtol=1e-7, atol=1e-11)
        assert torch.equal(dict(ours.named_parameters())[name], checkpoint[f"average/{name}"])
    for row, record in zip(read_log(tmp_path / "log.csv"), records, strict=True):
        for key, value in record.items():
            assert math.isclose(float(row[key]), value, rel_tol=1e-8), key
    assert max(r["gradient_norm"] for r in records) > settings.clip
    assert math.isclose(result["loss"], records[-1]["loss"], rel_tol=1e-8)


def test_every_number_of_steps_comes_up_the_small_ones_more_often() -> None:
    """Uniform on a logarithmic scale: 5 to 9 as often as 10 to 19."""
    settings = Settings(steps=(5, 19))
    drawn = torch.tensor([settings.steps_at(batch_seed(3, u, 0)) for u in range(4000)])
    assert drawn.unique().tolist() == list(range(5, 20))
    assert abs(float((drawn < 10).float().mean()) - 0.5) < 0.02


def test_validation_is_the_averages_mean_loss_of_the_last_step(tmp_path: Path) -> None:
    settings = Settings(updates=5, steps=(2, 2), ema=0.4)
    net, result = tiny.run(tmp_path, settings=settings)
    losses = []
    for j in range(tiny.WATCH.batches):
        problem, target = tiny.Noisy().sample(batch_seed(-1, 0, j) % 2**31)
        losses.append(float(mse(net(problem).final.detach(), target)))
    assert result["validation"] == sum(losses) / len(losses)


def test_validation_leaves_the_training_as_it_was(tmp_path: Path) -> None:
    for name, every in (("often", 1), ("seldom", 100)):
        train(tiny.network(), tiny.Noisy(), tmp_path / name, Settings(updates=6, steps=(2, 2)), tiny.Noisy(),
              watch=Watch(1, every, 6, 1))  # fmt: skip
    states = [load_file(tmp_path / name / "checkpoint.safetensors") for name in ("often", "seldom")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_batches_drawn_by_other_processes_are_the_same(tmp_path: Path) -> None:
    for name, workers in (("here", 0), ("there", 2)):
        train(tiny.network(), tiny.Noisy(), tmp_path / name, Settings(updates=5, steps=(2, 2), batches=2),
              num_workers=workers)  # fmt: skip
    states = [load_file(tmp_path / name / "checkpoint.safetensors") for name in ("here", "there")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_on_a_gpu_is_trained_there_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    for updates in (3, 5):
        net = tiny.network().cuda()
        result = train(net, tiny.Noisy(), tmp_path, Settings(updates=updates, steps=(2, 2)), tiny.Noisy(),
                       watch=tiny.WATCH, num_workers=1)  # fmt: skip
        assert result["updates"] == updates
    assert next(net.parameters()).is_cuda


def test_training_learns(tmp_path: Path) -> None:
    settings = Settings(updates=60, steps=(2, 2), rate=LearningRate(2e-2, 1e-3, 5))
    before = tiny.network()
    net, _ = tiny.run(tmp_path, settings=settings)
    problem, target = tiny.Noisy().sample(12345)
    assert mse(net(problem).final, target) < 0.8 * mse(before(problem).final, target)


def test_a_loss_that_is_not_finite_stops_with_update_seed_and_gradient(tmp_path: Path) -> None:
    poison = batch_seed(0, 7, 1)
    with pytest.raises(mo.MetaoptError) as caught:
        tiny.run(tmp_path, task=tiny.Noisy(poison))
    text = str(caught.value)
    assert f"stopped at update 7: the loss is inf on the batch of seed {poison}, and the largest gradient, " in text
    assert any(f"is that of {name}." in text for name, _ in tiny.network().named_parameters())
    tensors, card = load_tensors(tmp_path / "checkpoint.safetensors")
    assert card["update"] == 6
    assert all(torch.isfinite(t).all() for t in tensors.values())
    tiny.run(tmp_path)  # with the batch mended it goes on


class Overflowing(nn.Module):
    """Passes x on, and gives its gradient an infinity at one place."""

    def __init__(self) -> None:
        super().__init__()
        self.innocent, self.culprit = (nn.Parameter(torch.ones((), dtype=torch.float64)) for _ in range(2))

    def init(self, x: Any, context: Any = ()) -> tuple[()]:
        return ()

    def forward(self, gradient: Any, x: Any, memory: Any, k: int, context: Any = ()) -> Any:
        flat = (self.culprit - 1).abs().clamp_min(0).sqrt()  # 0, with an infinite slope
        return -0.1 * self.innocent * gradient + flat, memory


def test_a_gradient_that_is_not_finite_is_named_though_the_loss_is(tmp_path: Path) -> None:
    net = mo.unroll(mo.Descent(Overflowing()), 2)
    with pytest.raises(mo.MetaoptError) as caught:
        tiny.run(tmp_path, net)
    seeds = f"{batch_seed(0, 0, 0)}, {batch_seed(0, 0, 1)}"
    assert f"on the batch of seed {seeds}, and the largest gradient, " in str(caught.value)
    assert "is that of algorithm.update.module.culprit." in str(caught.value)
    assert net.algorithm.update(0).culprit == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Settings(updates=0), "updates must be a whole number of at least 1, but got 0"),
        (lambda: Settings(updates=2.5), "updates must be a whole number"),
        (lambda: Settings(steps=(9, 5)), r"\(fewest, most\).*got \(9, 5\)"),
        (lambda: Settings(steps=8), "got 8"),
        (lambda: Settings(ema=1.5), "ema must be a number from 0 to 1"),
        (lambda: Settings(clip=math.nan), "clip must be a positive, finite number"),
        (lambda: Settings(clip=0), "clip must be a positive, finite number, but got 0"),
        (lambda: Settings(clip=-1.0), "clip must be a positive"),
        (lambda: Settings(ema=-0.1), "ema must be a number from 0 to 1"),
        (lambda: Settings(ema=math.nan), "ema must be a number from 0 to 1"),
        (lambda: Settings(batches=math.inf), "batches must be a whole number"),
        (lambda: Settings(updates=True), "updates must be a whole number"),
        (lambda: Settings(steps=(0, 5)), r"\(fewest, most\)"),
        (lambda: Settings(steps=(2.0, 5)), r"\(fewest, most\)"),
        (lambda: Settings(weights=[0.0, 0.0]), "tep weights"),
        (lambda: Settings(weights=[math.nan]), "tep weights"),
        (lambda: LearningRate(peak=0), "peak must be a positive, finite number, but got 0"),
        (lambda: LearningRate(peak=math.inf), "peak must be a positive, finite number"),
        (lambda: LearningRate(peak=10**400), "peak must be a positive, finite number"),
        (lambda: LearningRate(peak=math.nan), "peak must be"),
        (lambda: LearningRate(final=-1e-5), "final must be a number that is finite and not negative"),
        (lambda: LearningRate(final=math.inf), "final must be a number that is finite"),
        (lambda: LearningRate(peak=1e-3, final=1e-2), r"final, .*, is at most peak, 0\.001, but got 0\.01"),
        (lambda: LearningRate(warmup=-1), "warmup must be a whole number of at least 0"),
        (lambda: LearningRate(warmup=math.inf), "warmup must be a whole number"),
        (lambda: Watch(validate_every=-1), "validate_every must be a whole number of at least 1"),
        (lambda: Watch(checkpoint_every=math.nan), "checkpoint_every must be a whole number"),
        (lambda: Watch(batches=0), "batches must be a whole number of at least 1"),
        (lambda: Settings(rate=1e-3), "rate must be a metaopt.training.LearningRate"),
        (lambda: LearningRate(peak="1e-3"), "YAML reads 1.0e-3, but not 1e-3"),
        (lambda: Watch(log_every=0), "log_every must be a whole number of at least 1, but got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        make()


def test_a_rate_that_never_reaches_its_peak_warns(tmp_path: Path) -> None:
    settings = dataclasses.replace(tiny.SHORT, rate=LearningRate(warmup=3))
    with pytest.warns(mo.MetaoptWarning, match="rises for warmup=3 updates, but there are 2 in all"):
        tiny.run(tmp_path, settings=settings)


@pytest.mark.parametrize("clip", [math.inf, 1e300])
def test_a_bound_that_bounds_nothing_is_none(tmp_path: Path, clip: float) -> None:
    settings = dataclasses.replace(tiny.SHORT, clip=clip)
    net, _ = tiny.run(tmp_path / "one", settings=settings)
    other, _ = tiny.run(tmp_path / "two", settings=dataclasses.replace(settings, clip=1e9))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    assert tiny.run(tmp_path / "one", settings=settings)[1]["loss"] is None


@pytest.mark.parametrize("settings", ["0", "false", "[]", "''", "3"])
@pytest.mark.parametrize("entry", ["settings", "watch", "card"])
def test_an_entry_of_a_recipe_that_is_no_mapping_is_refused(tmp_path: Path, entry: str, settings: str) -> None:
    call = "{call: metaopt.models.rim}"
    (tmp_path / "r.yaml").write_text(f"model: {call}\ntask: {call}\n{entry}: {settings}\n")
    with pytest.raises(mo.MetaoptError, match=f"The entry {entry} of .* must be a mapping"):
        mo.training.read_recipe(tmp_path / "r.yaml")


def test_only_what_is_unrolled_is_trained(tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match=r"needs an unrolled algorithm.*not Descent"):
        train(mo.Descent(Overflowing()), tiny.Noisy(), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_network_that_was_changed_since_it_was_made_is_trained_without_a_card(tmp_path: Path) -> None:
    net = tiny.network()
    net.algorithm = mo.parameterize(net.algorithm, {"update": mo.per_step(4)})
    before = torch.get_rng_state()
    train(net, tiny.Noisy(), tmp_path / "changed", Settings(updates=1, steps=(2, 2)))
    train(tiny.network(), tiny.Noisy(), tmp_path / "made", Settings(updates=1, steps=(2, 2)))
    assert not (tmp_path / "changed" / "weights.json").exists()
    assert (tmp_path / "made" / "weights.json").exists()
    assert torch.equal(before, torch.get_rng_state()), "a card is written without drawing from the global generator"

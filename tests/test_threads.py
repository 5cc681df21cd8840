"""Threads that share a network, a file or a reader get what one thread alone gets, and leave all else as it was."""

from __future__ import annotations

import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import metaopt as mo
from metaopt import data, tree
from metaopt.foundation.drawing import drawing_from

from .fuzz import readers
from .helpers import normal, seeded

THREADS = 8


@pytest.fixture(autouse=True)
def busy() -> Iterator[None]:
    """Threads take turns at every opportunity."""
    before = sys.getswitchinterval(), torch.get_num_threads()
    sys.setswitchinterval(1e-5)
    torch.set_num_threads(1)
    yield
    sys.setswitchinterval(before[0])
    torch.set_num_threads(before[1])


def at_once(work: Callable[[int], Any], times: int = 4) -> list[Any]:
    """What ``work(i)`` returns in thread i, ``times`` times each."""
    results: list[Any] = [None] * THREADS
    start = threading.Barrier(THREADS)

    def run(index: int) -> None:
        start.wait()
        try:
            results[index] = [work(index) for _ in range(times)]
        except BaseException as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class Blur(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 3, 3, padding=1)
        self.second = nn.Conv1d(3, 1, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return x - 0.1 * self.second(torch.tanh(self.first(x)))


class Chain(mo.Algorithm):
    def __init__(self) -> None:
        super().__init__()
        self.net = mo.slot(Blur())

    def init(self, problem: Any) -> Any:
        return problem

    def step(self, problem: Any, state: Any, k: int) -> Any:
        return self.net(k)(state)

    def readout(self, problem: Any, state: Any, k: int) -> Any:
        return state


def chain(strategy: Any, *, untied: bool) -> Any:
    opened = mo.parameterize(Chain(), {"net": mo.per_step(4) if untied else mo.shared()})
    return mo.unroll(opened, 4, gradient=strategy)


def signal(seed: int) -> Any:
    return normal(seed, 2, 1, 9)


def descent(steps: int, strategy: Any) -> Any:
    opened = mo.parameterize(mo.Descent(mo.updates.Sgd(0.1)), {"update.step_size": mo.shared()})
    return mo.unroll(opened, steps, gradient=strategy)


OBJECTIVE_NET = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))


def objective(seed: int) -> Any:
    x, y = normal(seed, 5, 3), normal(seed + 100, 5, 1)
    return mo.Objective(OBJECTIVE_NET, lambda predicted, y: ((predicted - y) ** 2).mean(), [(x, y)])


CASES: dict[str, tuple[Callable[[], Any], Callable[[int], Any]]] = {
    "shared": (lambda: chain(mo.Backprop(), untied=False), signal),
    "per_step": (lambda: chain(mo.Backprop(), untied=True), signal),
    "checkpointed": (lambda: chain(mo.Checkpointed(), untied=False), signal),
    "checkpointed per_step": (lambda: chain(mo.Checkpointed(), untied=True), signal),
    "truncated per_step": (lambda: chain(mo.Truncated(last=2), untied=True), signal),
    "implicit": (lambda: descent(30, mo.Implicit()),
                 lambda seed: mo.InverseProblem(mo.operators.Identity(), signal(seed), 1.0)),
    "rim": (lambda: mo.models.rim(hidden=3, kernels=[3], stride=1, steps=3, dims=1),
            lambda seed: mo.InverseProblem(mo.operators.Identity(), signal(seed), 0.3)),
    "objective": (lambda: descent(3, mo.Backprop()), objective),
}  # fmt: skip


def outcome(net: Any, problem: Any) -> list[Any]:
    """The output and the gradient with respect to all parameters."""
    final = net(problem).final
    leaves = [leaf for leaf in tree.leaves(final) if leaf.is_floating_point()]
    loss = sum(
        (leaf * torch.cos(torch.arange(leaf.numel(), dtype=leaf.dtype)).reshape(leaf.shape)).sum() for leaf in leaves
    )
    parameters = list(net.parameters())
    return [*(leaf.detach() for leaf in leaves), *torch.autograd.grad(loss, parameters, allow_unused=True)]


@pytest.mark.parametrize("name", CASES)
def test_threads_that_share_a_network_get_what_one_alone_gets(name: str) -> None:
    build, problem = CASES[name]
    net = seeded(build)
    before = {n: t.clone() for n, t in net.state_dict().items()}
    alone = [outcome(net, problem(seed)) for seed in range(THREADS)]
    for seed, results in enumerate(at_once(lambda seed: outcome(net, problem(seed)))):
        for result in results:
            for got, expected in zip(result, alone[seed], strict=True):
                assert (got is None) == (expected is None)
                assert got is None or torch.equal(got, expected)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


def test_threads_share_a_network_that_comes_with_the_package() -> None:
    net = mo.models.load("learned_map")
    problems = [mo.InverseProblem(mo.operators.Identity(), torch.rand(1, 1, 8, 8), 0.1) for _ in range(THREADS)]
    with torch.no_grad():
        alone = [net(problem, steps=2).final for problem in problems]
        together = at_once(lambda i: net(problems[i], steps=2).final.detach(), 2)
    assert all(torch.equal(got, alone[i]) for i, results in enumerate(together) for got in results)


def test_threads_that_load_networks_leave_the_global_generator_and_draw_the_same() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()

    def draw(index: int) -> Any:
        mo.models.load("optimizer_quadratics")
        with drawing_from(index):
            return torch.rand(100), nn.Linear(10, 10).weight.detach()

    results = at_once(draw)
    assert torch.equal(torch.get_rng_state(), before)
    for index, drawn in enumerate(results):
        with drawing_from(index):
            expected = torch.rand(100), nn.Linear(10, 10).weight.detach()
        assert all(torch.equal(a, b) for some in drawn for a, b in zip(some, expected, strict=True))


READ = "uai png planetoid mnist volume card picture-tif-16-3 picture-png-P3 evidence".split()


@pytest.mark.parametrize("way", ["valid", "damaged"])
def test_readers_in_threads_leave_filters_of_warnings_and_the_environment_as_they_were(
    way: str, tmp_path: Path
) -> None:
    chosen = [reader for reader in readers.READERS if reader.name in READ]
    for index, reader in enumerate(chosen):
        (tmp_path / str(index)).mkdir()
        reader.make(tmp_path / str(index))
        reader.read(tmp_path / str(index))
        if way == "damaged":
            for name in reader.names:
                path = tmp_path / str(index) / name
                path.write_bytes(path.read_bytes()[: random.Random(index).randrange(path.stat().st_size)])
    filters, shown, environment = list(warnings.filters), warnings.showwarning, dict(os.environ)

    def read(index: int) -> None:
        for offset in range(len(chosen)):
            number = (index + offset) % len(chosen)
            try:
                chosen[number].read(tmp_path / str(number))
            except mo.MetaoptError:
                assert way == "damaged"

    at_once(read, 2)
    assert warnings.filters == filters
    assert warnings.showwarning is shown
    assert dict(os.environ) == environment


def test_threads_that_write_one_picture_model_or_network_leave_a_whole_one(tmp_path: Path) -> None:
    net = mo.models.lista(torch.eye(3), 0.1, 2)
    picture = data.Picture(torch.rand(3, 20, 20))
    model = data.UaiModel([2, 2], [(0, 1)], [torch.rand(2, 2).double().numpy()])

    def write(_: int) -> None:
        data.write_image(tmp_path / "p.png", picture)
        data.write_uai(tmp_path / "m.uai", model)
        mo.weights.save(net, tmp_path / "n.safetensors")

    at_once(write)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.uai", "n.json", "n.safetensors", "p.png"]
    assert torch.allclose(data.read_image(tmp_path / "p.png").pixels, picture.pixels, atol=1 / 500)
    assert (data.read_uai(tmp_path / "m.uai").tables[0] == model.tables[0]).all()
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            mo.models.load(tmp_path / "n.safetensors").state_dict().values(), net.state_dict().values(), strict=True
        )
    )

"""The gradient by A^H A alone is that by A and A^H, in every precision, batched, and for every algorithm."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import operators as ops
from metaopt.core import tree
from metaopt.problems import collate
from metaopt.problems.trained_range import TrainedRange


def drawn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True, eq=False)
class Telling(ops.Operator):
    """An operator that tells what is computed with it."""

    operator: ops.Operator
    tell: Callable[[str], None]

    def apply(self, x: Tensor) -> Tensor:
        self.tell("apply")
        return self.operator.apply(x)

    def adjoint(self, y: Tensor) -> Tensor:
        self.tell("adjoint")
        return self.operator.adjoint(y)

    def normal(self, x: Tensor) -> Tensor:
        self.tell("normal")
        return self.operator.normal(x)


def interferometer(dtype: torch.dtype = torch.float64, planes: int = 2, samples: int = 3) -> mo.InverseProblem:
    """Three skies seen in four channels, with weights of which some are 0, and a primary beam."""
    pytest.importorskip("finufft")
    uvw, frequency = (
        drawn(40, 3) * torch.tensor([300.0, 300.0, 0.0]),
        torch.tensor([1.2e9, 1.1e9, 1.3e9, 1.1e9]).double(),
    )
    weights = drawn(40, 4, seed=2).abs()
    weights[:5] = 0
    operator = ops.Visibilities(uvw, frequency, (9, 12), 8e-5, weights, drawn(9, 12, seed=4).abs(), planes)
    visibilities = torch.complex(drawn(samples, 40, 4, seed=5), drawn(samples, 40, 4, seed=6))
    noise = torch.linspace(0.5, 2.0, samples, dtype=dtype)
    return mo.InverseProblem(operator, operator.whiten(visibilities).to(dtype.to_complex()), noise)


def radial_scan(dtype: torch.dtype = torch.float64) -> mo.InverseProblem:
    pytest.importorskip("finufft")
    operator = ops.Nufft(drawn(60, 2).clamp(-2, 2) / 5, (8, 7))
    return mo.InverseProblem(operator, drawn(2, 1, 60, dtype=dtype.to_complex(), seed=1), 0.3, guess=0.2)


def dense(dtype: torch.dtype = torch.float64) -> mo.InverseProblem:
    return mo.InverseProblem(ops.Dense(drawn(5, 8, dtype=dtype)), drawn(3, 5, dtype=dtype, seed=1))


def scaled(dtype: torch.dtype = torch.float64) -> mo.InverseProblem:
    return interferometer(dtype).normalized()


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(b.detach().abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("build", [interferometer, radial_scan, dense, scaled])
def test_start_energy_and_gradient_are_as_before(build: Callable[..., mo.InverseProblem], dtype: torch.dtype) -> None:
    problem, tolerance = build(dtype), {torch.float32: 2e-5, torch.float64: 1e-9}[dtype]
    quick = problem.by_normal()
    x = drawn(*problem.start().shape, dtype=problem.start().dtype, seed=3)
    for point in (x, problem.start(), 1e4 * x):
        close(quick.gradient(point), problem.gradient(point), tolerance)
        close(quick.energy(point), problem.energy(point), tolerance)
        assert quick.gradient(point).dtype == problem.gradient(point).dtype == point.dtype
    close(quick.start(), problem.start(), tolerance)
    torch.testing.assert_close(quick.variance(), problem.variance())  # also where both are None
    assert len(quick.context()) == len(problem.context())


def test_gradient_is_the_derivative_of_the_energy() -> None:
    problem = interferometer().by_normal()
    x = drawn(*problem.start().shape, seed=3).requires_grad_()
    close(problem.gradient(x.detach()), torch.autograd.grad(problem.energy(x).sum(), x)[0])


def test_a_step_neither_predicts_nor_grids_visibilities() -> None:
    given = interferometer()
    calls: list[str] = []
    problem = mo.InverseProblem(Telling(given.operator, calls.append), given.y, given.noise).by_normal()
    calls.clear()
    net = mo.models.rim(channels=2, hidden=4, steps=3)
    net(tree.to(problem, torch.float32))
    assert calls == ["normal"] * 3


def algorithms() -> dict[str, Callable[[], Any]]:
    return {
        "descent": lambda: mo.Descent(mo.updates.Sgd(1e-4)),
        "FISTA": lambda: mo.algorithms.Fista(mo.priors.TotalVariation(0.1), 1e-5),
        "CLEAN": lambda: mo.algorithms.Clean(gain=0.5),
        "conjugate gradients": lambda: mo.algorithms.ConjugateGradient(0.1),
    }


@pytest.mark.parametrize("name", algorithms())
def test_algorithms_find_the_same_picture(name: str) -> None:
    problem, net = interferometer(), mo.unroll(algorithms()[name](), 4)
    close(net(problem.by_normal()).final, net(problem).final, 1e-8)


def test_a_rim_finds_the_same_picture_in_units_of_training_too() -> None:
    problem = tree.to(interferometer(), torch.float32)
    torch.manual_seed(0)
    net = mo.models.rim(channels=2, hidden=4, steps=3)
    close(net(problem.by_normal()).final, net(problem).final, 1e-4)
    trained = TrainedRange((0.0, 1.0), (1e-6, 1e6), units="Jy")
    factor = torch.tensor([0.5, 2.0, 3.0])
    quick, plain = (trained.scaled(p, factor) for p in (problem.by_normal(), problem))
    x = problem.start()
    assert quick.moment is not None
    close(quick.gradient(x), plain.gradient(x), 1e-4)
    close(quick.start(), plain.start(), 1e-4)


@pytest.mark.parametrize(
    "strategy", [mo.Backprop(), mo.Checkpointed(), mo.Truncated(2)], ids=lambda s: type(s).__name__
)
def test_gradients_reach_the_measurement_and_the_network(strategy: Any) -> None:
    found = []
    for quick in (False, True):
        given = interferometer()
        y = given.y.clone().requires_grad_()
        problem = tree.replace(given, {"y": y})
        problem = problem.by_normal() if quick else problem
        torch.manual_seed(0)
        net = mo.models.rim(channels=2, hidden=4, steps=3, gradient=strategy).double()
        net(problem).final.square().sum().backward()
        found.append([y.grad, *(p.grad for p in net.parameters())])
    for plain, quick in zip(*found, strict=True):
        torch.testing.assert_close(quick, plain, rtol=1e-6, atol=1e-6 * float(plain.abs().max()))


def test_vmap_and_compile_take_it() -> None:
    problem = interferometer().by_normal()
    x = drawn(4, *problem.start().shape, seed=3)
    close(torch.func.vmap(problem.gradient)(x), torch.stack([problem.gradient(part) for part in x]))
    compiled = torch.compile(lambda p, x: p.gradient(x), backend="eager", fullgraph=True)
    close(compiled(problem, x[0]), problem.gradient(x[0]))


def test_copies_batches_and_normalized_problems_stay_quick() -> None:
    problem = interferometer().by_normal()
    x = problem.start()
    for copied in (copy.deepcopy(problem), pickle.loads(pickle.dumps(problem)), tree.map(lambda t: t, problem)):
        torch.testing.assert_close(copied.moment, problem.moment, rtol=0, atol=0)
        close(copied.gradient(x), problem.gradient(x))
    parts = [mo.InverseProblem(problem.operator, problem.y[i : i + 1], problem.noise[i : i + 1]) for i in range(3)]
    joined = collate([part.by_normal() for part in parts])
    assert joined.moment is not None and collate(parts).moment is None
    close(joined.gradient(x), problem.gradient(x))
    normalized = problem.normalized()
    assert normalized.moment is not None
    close(normalized.gradient(x), problem.gradient(x), 1e-8)


def test_another_measurement_noise_or_operator_is_not_missed() -> None:
    problem = interferometer().by_normal()
    x = problem.start()
    changes = {"y": 2 * problem.y, "noise": 3 * problem.noise, "operator": ops.Scaled(problem.operator, 2.0)}
    for name, value in changes.items():
        changed = tree.replace(problem, {name: value})
        parts = {"operator": problem.operator, "y": problem.y, "noise": problem.noise, name: value}
        close(changed.gradient(x), mo.InverseProblem(**parts).gradient(x))


def test_writing_into_the_start_changes_no_gradient() -> None:
    problem = interferometer().by_normal()
    x = problem.start()
    before = problem.gradient(x)
    problem.start().zero_()
    assert torch.equal(problem.gradient(x), before)


def test_what_has_no_such_gradient_is_refused_in_a_sentence() -> None:
    counts = mo.InverseProblem(ops.Identity(), torch.ones(1, 3), likelihood=mo.problems.Poisson())
    with pytest.raises(mo.MetaoptError, match="by_normal needs a Gaussian likelihood"):
        counts.by_normal()
    uneven = mo.InverseProblem(ops.Identity(), torch.ones(2, 3), noise=torch.ones(2, 3))
    with pytest.raises(mo.MetaoptError, match="by_normal needs one noise level a sample"):
        uneven.by_normal()

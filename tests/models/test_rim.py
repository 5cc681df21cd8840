"""The networks: tied and untied, run longer than trained, and the invertible one run backwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.models import irim, rim, untie
from metaopt.updates import ComplexAsBatch, ComplexAsChannels

from ..cases.problems import kspace_problem, picture_problem
from ..helpers import normal, seeded


def problem_of(kind: dict[str, Any], size: tuple[int, ...] = (6, 4)) -> mo.InverseProblem:
    return kspace_problem(0) if kind.get("is_complex") else picture_problem(0, *size)


def perturb(net: torch.nn.Module, scale: float = 0.3) -> None:
    """Other weights everywhere, and for untied steps others at every step."""
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.add_(scale * parameter.abs().mean() * normal(i, *parameter.shape))


def gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


@pytest.mark.parametrize("model", [rim, irim])
@pytest.mark.parametrize("kind", [{}, {"is_complex": True, "stride": 2}], ids=["real", "complex"])
def test_untied_steps_start_equal_and_learn_apart(model: Any, kind: dict[str, Any]) -> None:
    tied = seeded(lambda: model(hidden=4, steps=3, **kind))
    untied, problem = untie(tied), problem_of(kind)
    assert all(torch.equal(a, b) for a, b in zip(tied(problem).outputs, untied(problem).outputs, strict=True))
    optimizer = torch.optim.SGD(untied.parameters(), 0.1)
    untied(problem).final.abs().square().sum().backward()
    optimizer.step()
    for name, parameter in untied.named_parameters():
        assert len(parameter) == 3, name
    moved = [gap(p[0], p[2]) for p in untied.parameters()]
    assert max(moved) > 1e-6
    assert sum(p.numel() for p in untied.parameters()) == 3 * sum(p.numel() for p in tied.parameters())


def test_tied_steps_run_on_and_untied_ones_say_how_many_there_are() -> None:
    tied, problem = seeded(lambda: rim(hidden=4, steps=3)), problem_of({})
    longer = tied(problem, steps=7)
    assert len(longer.outputs) == 7
    assert torch.equal(longer.outputs[2], tied(problem).final)
    assert gap(longer.outputs[6], longer.outputs[5]) > 0
    with pytest.raises(mo.MetaoptError, match=r"3.*7|7.*3"):
        untie(tied)(problem, steps=7)


def test_reading_each_part_is_the_real_machine_on_both_and_takes_any_level_into_account() -> None:
    """Complex denoising with next to nothing disturbing besides the noise: two real problems, moved by the offset."""
    real = seeded(lambda: rim(hidden=4, steps=3, stride=2, scales=(2,)))
    both = rim(hidden=4, steps=3, stride=2, scales=(2,), is_complex=True, each_part=True)
    both.algorithm.update.module = ComplexAsBatch(real.algorithm.update.module, offset=0.3, extra=1e-9)
    y, noise = normal(0, 2, 1, 7, 6, dtype=torch.complex128), torch.tensor([0.1, 0.4], dtype=torch.float64)
    found = both(mo.InverseProblem(mo.operators.Identity(), y, noise)).final
    for part, values in ((found.real, y.real), (found.imag, y.imag)):
        expected = real(mo.InverseProblem(mo.operators.Identity(), values + 0.3, noise)).final - 0.3
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-11)
    with pytest.raises(mo.MetaoptError, match="is_complex=True"):
        rim(each_part=True)


@pytest.mark.parametrize("tying", [lambda net: net, untie], ids=["tied", "untied"])
@pytest.mark.parametrize(
    ("kind", "size"),
    [({"layers": 3}, (6, 4)), ({"stride": 2, "is_complex": True}, (6, 8)), ({"dims": 3, "stride": 2}, (2, 4, 2))],
    ids=["2-D", "complex", "3-D"],
)
def test_the_invertible_machine_runs_backwards_exactly(kind: dict[str, Any], size: tuple[int, ...], tying: Any) -> None:
    """The published trap: an inverse that is wrong for untied steps (error 1.95 against 7e-5)."""
    steps = 5
    net = tying(seeded(lambda: irim(hidden=4, steps=steps, **kind)))
    perturb(net)
    algorithm, problem = net.algorithm, problem_of(kind, size)
    states = [algorithm.init(problem)]
    for k in range(steps):
        states.append(algorithm.step(problem, states[-1], k))
    assert gap(states[-1].memory, states[0].memory) > 1e-2
    assert gap(states[-1].x, states[0].x) > 1e-3
    state = states[-1]
    for k in reversed(range(steps)):
        state = algorithm.inverse_step(problem, state, k)
        assert gap(state.x, states[k].x) < 1e-12
        assert gap(state.memory, states[k].memory) < 1e-12


def test_undoing_with_another_steps_network_is_noticed() -> None:
    """The test above fails where an inverse takes the wrong step's network."""
    net = untie(seeded(lambda: irim(hidden=4, steps=3)))
    perturb(net)
    algorithm, problem = net.algorithm, problem_of({})
    before = algorithm.step(problem, algorithm.init(problem), 0)
    after = algorithm.step(problem, before, 1)
    assert gap(algorithm.inverse_step(problem, after, 2).memory, before.memory) > 1e-3


def test_what_the_invertible_machine_cannot_read_is_refused() -> None:
    with pytest.raises(mo.MetaoptError, match=r"stride 2.*multiples.*\(3, 1, 5, 4\)"):
        seeded(lambda: irim(hidden=4, stride=2))(picture_problem(0, 5, 4))
    with pytest.raises(mo.MetaoptError, match="hidden must be even, not 5"):
        irim(hidden=5)
    with pytest.raises(mo.MetaoptError, match=r"\(B, 2, n, n\).*as two.*\(3, 1, 6, 4\) float64"):
        seeded(lambda: irim(hidden=4, is_complex=True))(picture_problem(0, 6, 4))
    with pytest.raises(mo.MetaoptError, match=r"float32 on cpu, but x is torch.float64"):
        irim(hidden=4)(picture_problem(0, 6, 4))
    unknown = mo.InverseProblem(mo.operators.Identity(), normal(0, 1, 1, 4, 4))
    with pytest.raises(mo.MetaoptError, match="reads 1 context"):
        seeded(lambda: irim(hidden=4))(unknown)


@pytest.mark.parametrize(("kernels", "memories"), [((3,), 1), ((1, 1), 2)])
def test_the_models_kernels_are_the_slides_cell_and_the_form_with_two_units(
    kernels: tuple[int, ...], memories: int
) -> None:
    net = rim(channels=2, hidden=8, kernels=kernels, is_complex=True)
    update = net.algorithm.update(0)
    assert isinstance(update, ComplexAsChannels)
    cell = update.update
    assert cell.embed.weight.shape == (8, 2 * 4 + 1, 5, 5)
    assert [m.state.weight.shape for m in cell.memories] == [(24, 8, k, k) for k in kernels]
    assert len(cell.memories) == memories
    assert cell.head.weight.shape == (4, 8, 3, 3)


def test_two_sets_of_maps_are_two_pictures_that_the_gradient_couples() -> None:
    net = rim(hidden=4, steps=3, stride=2, scales=(2,), is_complex=True, each_part=True).double()
    y = normal(3, 2, 2, 6, 5, dtype=torch.complex128)
    problem = mo.InverseProblem(mo.operators.Identity(), y, torch.tensor([0.1, 0.3]))
    each = [net(mo.InverseProblem(mo.operators.Identity(), y[:, s : s + 1], problem.noise)).final for s in range(2)]
    torch.testing.assert_close(net(problem).final, torch.cat(each, dim=1))
    maps = normal(4, 2, 3, 6, 5, dtype=torch.complex128)
    coupled = mo.InverseProblem(mo.operators.Sense(maps), normal(5, 2, 3, 6, 5, dtype=torch.complex128), 0.1)
    alone = mo.InverseProblem(mo.operators.Sense(maps[:1]), coupled.y, 0.1)
    assert net(coupled).final.shape == (2, 2, 6, 5)
    assert not torch.allclose(net(coupled).final[:, :1], net(alone).final)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: rim(hidden=4, steps=2, is_complex=True, stride=2),
        lambda: rim(hidden=4, steps=2, is_complex=True, each_part=True, stride=2),
        lambda: mo.models.data_consistent(rim(hidden=4, steps=2, is_complex=True), 0.3, iterations=2),
    ],
    ids=["channels", "each part", "held to its data"],
)
def test_complex_half_precision_is_single_precision_to_its_rounding(make: Any) -> None:
    problem, net = kspace_problem(0), seeded(make).float()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * parameter.abs().mean())
    single = net(problem.to(torch.float32)).final
    half = net.half()(problem.to(torch.float16)).final
    assert half.dtype == torch.complex32
    assert gap(half.to(torch.complex64), single) < 0.02 * float(single.detach().abs().max())


@pytest.mark.parametrize("name", ["denoise_grey", "denoise_color", "restore_grey", "random_projections", "mri"])
def test_a_shipped_network_takes_a_batch_without_pictures(name: str) -> None:
    channels = 3 if name == "denoise_color" else 1
    y = torch.zeros(0, channels, 8, 12, dtype=torch.complex64 if name == "mri" else torch.float32)
    operator = mo.operators.Fourier() if name == "mri" else mo.operators.Identity()
    assert mo.models.load(name)(mo.InverseProblem(operator, y, 0.05)).final.shape == y.shape

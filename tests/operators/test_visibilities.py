"""Visibilities are the sum over the sky that defines them, and weights for pictures are those of WSClean."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import operators as ops
from metaopt.core import tree
from metaopt.operators.uv import LIGHT

DOUBLE = torch.float64


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def baselines(w: float = 0.0) -> tuple[Tensor, Tensor]:
    """Twelve rows, of which w is ``w`` times as long as u, and channels that neither ascend nor are all distinct."""
    return draw(12, 3) * torch.tensor([300.0, 300.0, 300.0 * w]), torch.tensor([1.2e9, 1.1e9, 1.3e9, 1.1e9]).double()


def summed(x: Tensor, uvw: Tensor, frequency: Tensor, cell: float) -> Tensor:
    """The definition, pixel by pixel: rows grow to the north, columns to the west."""
    (_, planes, height, width), wide = x.shape, x.numpy()
    result = np.zeros((len(x), len(uvw), len(frequency)), complex)
    for row in range(height):
        for column in range(width):
            m, l = (row - height // 2) * cell, -(column - width // 2) * cell  # noqa: E741
            n = math.sqrt(1 - l * l - m * m)
            for channel, f in enumerate(frequency.tolist()):
                u, v, w = (uvw.numpy() * f / LIGHT).T
                fringe = np.exp(-2j * np.pi * (u * l + v * m + w * (n - 1))) / n
                result[:, :, channel] += np.outer(wide[:, channel * planes // len(frequency), row, column], fringe)
    return torch.from_numpy(result)


@pytest.mark.parametrize("planes", [1, 2, 4])
@pytest.mark.parametrize("shape", [(5, 6), (7, 4)], ids=str)
def test_visibilities_are_the_sum_over_the_sky(shape: tuple[int, int], planes: int) -> None:
    uvw, frequency = baselines()
    cell = 0.9 * ops.largest_cell(uvw, frequency)
    x = draw(2, planes, *shape, seed=1)
    expected = summed(x, uvw, frequency, cell)
    for kind in (ops.Visibilities, ops.WideVisibilities):
        if kind is ops.WideVisibilities:
            pytest.importorskip("ducc0")
        y = kind(uvw, frequency, shape, cell, planes=planes)(x)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize("shape", [(5, 6), (34, 33)], ids=str)
def test_wide_visibilities_have_the_w_term_and_an_exact_adjoint(shape: tuple[int, int]) -> None:
    pytest.importorskip("ducc0")
    uvw, frequency = baselines(w=30.0)
    cell = 0.9 * ops.largest_cell(uvw, frequency)
    weights, beam = draw(12, 4, seed=2).abs(), draw(2, *shape, seed=3)
    operator = ops.WideVisibilities(uvw, frequency, shape, cell, weights, beam, planes=2)
    x = draw(2, 2, *shape, seed=1)
    expected = summed(x * beam, uvw, frequency, cell) * weights.sqrt()
    torch.testing.assert_close(operator(x), expected, rtol=0, atol=1e-10 * float(expected.abs().max()))
    assert ops.check_adjoint(operator, x) < 1e-10
    assert ops.check_adjoint(operator, x.float()) < 1e-4
    assert operator(x.float()).dtype == torch.complex64
    gradient = torch.func.grad(lambda x: 0.5 * operator(x).abs().square().sum())(x)
    torch.testing.assert_close(gradient, operator.normal(x))
    flat = ops.Visibilities(uvw * torch.tensor([1, 1, 0]), frequency, shape, cell, weights, beam, planes=2)
    assert float((flat(x) - expected).abs().max()) > 0.01 * float(expected.abs().max()), "w matters here"


def test_normal_of_weighted_visibilities_is_exact_and_follows_weights_that_are_replaced() -> None:
    uvw, frequency = baselines()
    weights, x = draw(12, 4, seed=2).abs(), draw(2, 2, 6, 5, seed=1)
    operator = ops.Visibilities(uvw, frequency, (6, 5), 1e-4, weights, draw(6, 5), planes=2)
    for other in (operator, operator.weighted(weights.flip(0)), tree.replace(operator, {"weights": weights.flip(0)})):
        torch.testing.assert_close(other.normal(x), other.adjoint(other(x)))


def test_gradients_reach_weights_and_baselines() -> None:
    uvw, frequency = baselines()
    uvw[:, 2] = 0
    weights = draw(12, 4, seed=2).abs().requires_grad_()
    uvw.requires_grad_()
    x = draw(1, 1, 4, 4, seed=1)

    def misfit(uvw: Tensor, weights: Tensor) -> Tensor:
        operator = ops.Visibilities(uvw, frequency, (4, 4), 1e-4, weights)
        return operator(x).abs().square().sum() + operator.normal(x).sum()

    assert torch.autograd.gradcheck(misfit, (uvw, weights), eps=1e-5, atol=1e-4)


def test_flagged_visibilities_change_nothing_whatever_they_hold() -> None:
    uvw, frequency = baselines()
    weights = draw(12, 4, seed=2).abs()
    weights[3] = 0
    operator = ops.Visibilities(uvw, frequency, (6, 5), 1e-4, weights)
    measured = torch.complex(draw(1, 12, 4, seed=5), draw(1, 12, 4, seed=6))
    broken = measured.clone()
    broken[:, 3] = complex("nan")
    problems = [mo.InverseProblem(operator, operator.whiten(v), noise=1.0) for v in (measured, broken)]
    x = draw(1, 1, 6, 5)
    assert torch.equal(problems[0].gradient(x), problems[1].gradient(x))
    with pytest.raises(mo.MetaoptError, match="4 visibilities that are not flagged are NaN"):
        operator.whiten(broken.roll(1, 1))


def test_energy_is_that_of_noise_with_those_variances() -> None:
    uvw, frequency = baselines()
    weights, x = draw(12, 4, seed=2).abs(), draw(1, 1, 6, 5, seed=1)
    plain = ops.Visibilities(uvw, frequency, (6, 5), 1e-4)
    measured = plain(x) + torch.complex(draw(1, 12, 4, seed=5), draw(1, 12, 4, seed=6))
    operator = plain.weighted(weights)
    whitened = mo.InverseProblem(operator, operator.whiten(measured), noise=1.0)
    other = draw(1, 1, 6, 5, seed=9)
    expected = mo.InverseProblem(plain, measured, noise=weights.rsqrt()[None])
    torch.testing.assert_close(whitened.energy(other), expected.energy(other))
    torch.testing.assert_close(whitened.gradient(other), expected.gradient(other))


def test_cells_up_to_the_largest_are_taken_and_coarser_ones_refused_with_it() -> None:
    uvw = torch.tensor([[100.0, 0, 0], [0, -250.0, 0]], dtype=DOUBLE)
    frequency = torch.tensor([LIGHT, LIGHT / 2], dtype=DOUBLE)
    largest = ops.largest_cell(uvw, frequency)
    assert largest == pytest.approx(1 / 500)
    ops.Visibilities(uvw, frequency, (8, 8), largest)
    with pytest.raises(mo.MetaoptError, match=rf"too coarse .* need {math.degrees(largest) * 3600:.6g} arcseconds"):
        ops.Visibilities(uvw, frequency, (8, 8), 1.01 * largest)


def test_neglecting_w_is_silent_warned_of_or_refused_by_how_much_it_costs() -> None:
    uvw, frequency = torch.tensor([[10.0, 0, 1000.0]], dtype=DOUBLE), torch.tensor([LIGHT], dtype=DOUBLE)
    shape = (64, 64)

    def cell(phase: float) -> float:
        return math.sqrt(phase / (2 * math.pi * 1000) / 32**2)

    assert ops.w_phase(uvw, frequency, shape, cell(0.05)) == pytest.approx(0.05, rel=1e-3)
    assert isinstance(ops.visibility_operator(uvw, frequency, shape, cell(0.05)), ops.Visibilities)
    with pytest.warns(mo.MetaoptWarning, match=r"costs 0\.3 radians of phase .* 30 %"):
        ops.Visibilities(uvw, frequency, shape, cell(0.3))
    with pytest.raises(mo.MetaoptError, match=r"costs 2 radians .*WideVisibilities.*uvw\[:, 2\] to 0"):
        ops.Visibilities(uvw, frequency, shape, cell(2.0))
    pytest.importorskip("ducc0")
    assert isinstance(ops.visibility_operator(uvw, frequency, shape, cell(2.0)), ops.WideVisibilities)


def test_the_point_spread_is_the_dirty_picture_of_a_source_in_the_middle() -> None:
    uvw, frequency = baselines()
    cell = 0.3 * ops.largest_cell(uvw, frequency)
    operator = ops.Visibilities(uvw, frequency, (32, 30), cell, draw(12, 4, seed=2).abs(), planes=2)
    x = torch.zeros(1, 2, 32, 30, dtype=DOUBLE)
    x[:, :, 16, 15] = 1
    psf = ops.point_spread(operator)
    torch.testing.assert_close(psf[:, 16, 15], torch.ones(2, dtype=DOUBLE))
    torch.testing.assert_close(psf[None], ops.dirty_picture(operator, operator.weighted(None)(x)))


def gridded(
    uvw: Tensor, frequency: Tensor, weights: Tensor, size: int, cell: float, robust: float | None
) -> np.ndarray:
    """Uniform (None) or Briggs weights by a dictionary of cells."""
    place, sums = {}, {}
    for i, (u, v, _) in enumerate(uvw.tolist()):
        for c, f in enumerate(frequency.tolist()):
            sign = -1 if v < 0 else 1
            key = tuple(math.floor(sign * a * f / LIGHT * size * cell) for a in (u, v))
            place[i, c] = key
            sums[key] = sums.get(key, 0.0) + float(weights[i, c])
    mean = sum(s * s for s in sums.values()) / sum(sums.values())
    factor = 0 if robust is None else (5 * 10**-robust) ** 2 / mean
    return np.array(
        [
            [
                float(weights[i, c]) / (sums[place[i, c]] if robust is None else 1 + factor * sums[place[i, c]])
                for c in range(len(frequency))
            ]
            for i in range(len(uvw))
        ]
    )


@pytest.mark.parametrize("robust", [None, -1.0, 0.0, 2.0])
def test_uniform_and_briggs_weights_are_those_of_a_grid(robust: float | None) -> None:
    uvw, frequency = draw(300, 3) * 100, torch.tensor([1.1e9, 1.2e9], dtype=DOUBLE)
    weights = draw(300, 2, seed=1).abs()
    cell = 0.5 * ops.largest_cell(uvw, frequency)
    arguments = (uvw, frequency, weights, (16, 16), cell)
    expected = gridded(uvw, frequency, weights, 16, cell, robust)
    found = ops.uniform_weights(*arguments) if robust is None else ops.briggs_weights(*arguments, robust)
    assert np.allclose(found.numpy(), expected)
    parts = [(uvw[i], frequency, weights[i], (16, 16), cell) for i in (slice(0, 100), slice(100, 300))]
    density = sum(ops.uv_density(*part) for part in parts)
    pieces = [
        ops.uniform_weights(*part, density=density)
        if robust is None
        else ops.briggs_weights(*part, robust, density=density)
        for part in parts
    ]
    torch.testing.assert_close(torch.cat(pieces), found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uvw": torch.zeros(0, 3)}, "at least one row"),
        ({"frequency": torch.tensor([1e9, 0.0])}, "above 0, in hertz"),
        ({"weights": torch.zeros(12, 4)}, "every visibility is flagged"),
        ({"weights": -torch.ones(12, 4)}, "48 weights"),
        ({"weights": torch.ones(4, 12)}, r"\(12, 4\)"),
        ({"beam": torch.ones(3, 3)}, r"The beam of Visibilities is \(6, 5\)"),
        ({"planes": 3}, "4 channels .* over 3 planes"),
        ({"shape": (6, 5, 1)}, r"is \(H, W\)"),
        ({"cell": 0.5}, "horizon"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], words: str) -> None:
    uvw, frequency = baselines()
    arguments = {"uvw": uvw, "frequency": frequency, "shape": (6, 5), "cell": 1e-4, **changes}
    with pytest.raises(mo.MetaoptError, match=words):
        ops.Visibilities(**arguments)


def test_without_ducc0_a_wide_field_is_refused_with_its_remedy(block: Callable[[str], None]) -> None:
    block("ducc0")
    uvw, frequency = baselines()
    with pytest.raises(mo.MetaoptError, match=r"needs ducc0.*pip install ducc0"):
        ops.WideVisibilities(uvw, frequency, (6, 5), 1e-4)

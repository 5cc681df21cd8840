"""CLEAN against its textbook form, and what its steps promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms import Clean

from ..helpers import normal

SIZE = 16


def uv_problem(sky: Tensor, noise: float = 0.05, seed: int = 0) -> mo.InverseProblem:
    """Half of the spatial frequencies of a real sky, with noise."""
    mask = mo.operators.gaussian_mask((SIZE, SIZE), 2, 0.05, seed).double()
    operator = mo.operators.Fourier(mask) @ mo.operators.RealToComplex()
    y = operator(sky)
    error = noise * torch.complex(normal(seed + 1, *y.shape), normal(seed + 2, *y.shape))
    return mo.InverseProblem(operator, y + mask * error, noise)


def points(*places: tuple[int, int, float]) -> Tensor:
    sky = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.float64)
    for row, column, flux in places:
        sky[0, 0, row, column] = flux
    return sky


def textbook(dirty: np.ndarray, beam: np.ndarray, gain: float, steps: int) -> np.ndarray:
    """Hogbom's loop: subtract the shifted beam at the brightest pixel. The beam's peak, 1, is at index 0."""
    model, residual = np.zeros_like(dirty), dirty.copy()
    for _ in range(steps):
        row, column = np.unravel_index(np.abs(residual).argmax(), residual.shape)
        flux = gain * residual[row, column]
        model[row, column] += flux
        residual -= flux * np.roll(beam, (row, column), (0, 1))
    return model


def test_with_the_defaults_it_is_hogboms_loop() -> None:
    problem = uv_problem(points((3, 4, 1.0), (9, 11, 0.6), (12, 2, -0.4)))
    zero = torch.zeros_like(problem.start())
    dirty, beam = -problem.gradient(zero), problem.gradient(points((0, 0, 1.0))) - problem.gradient(zero)
    peak = beam[0, 0, 0, 0]
    expected = textbook((dirty / peak)[0, 0].numpy(), (beam / peak)[0, 0].numpy(), 0.1, 40)
    np.testing.assert_allclose(mo.unroll(Clean(), 40)(problem).final[0, 0].numpy(), expected, atol=1e-10)


def test_points_are_found_with_their_fluxes() -> None:
    sky = points((3, 4, 1.0), (9, 11, 0.6))
    found = mo.unroll(Clean(gain=0.3, positive=True), 60)(uv_problem(sky, noise=1e-3)).final
    torch.testing.assert_close(found, sky, atol=5e-3, rtol=0)


def test_scales_find_an_extended_source_in_fewer_steps() -> None:
    y, x = torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float64) - SIZE // 2] * 2, indexing="ij")
    sky = torch.exp(-(x**2 + y**2) / (2 * (3 / 16 * 8) ** 2))[None, None]
    problem = uv_problem(sky, noise=1e-3)
    error = {
        scales: float((mo.unroll(Clean(gain=0.5, scales=scales), 20)(problem).final - sky).norm())
        for scales in ((0.0,), (0.0, 8.0))
    }
    assert error[0.0, 8.0] < 0.1 * error[0.0,]


@pytest.mark.parametrize("gain", [0.1, 1.0, 1.9])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_the_energy_never_rises(gain: float, share: float) -> None:
    problem = uv_problem(points((3, 4, 1.0), (4, 4, 0.8)))
    outputs = mo.unroll(Clean(gain, share, scales=(0, 3)), 15)(problem).outputs
    energies = torch.cat([problem.energy(x) for x in outputs])
    assert bool((energies.diff() <= 1e-9 * energies[:-1].abs()).all())


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_far_fainter_than_the_brightest_is_found_at_any_scale_of_flux(unit: float, dtype: torch.dtype) -> None:
    sky = (unit * points((3, 4, 1.0), (9, 11, 1e-5))).to(dtype)
    mask = mo.operators.gaussian_mask((SIZE, SIZE), 2, 0.05, 0).to(dtype)
    operator = mo.operators.Fourier(mask) @ mo.operators.RealToComplex()
    found = mo.unroll(Clean(gain=0.5), 400)(mo.InverseProblem(operator, operator(sky), 1e-3 * unit)).final
    torch.testing.assert_close(found / unit, sky / unit, atol=1e-6, rtol=0)


def test_the_residual_of_the_state_is_that_of_the_problem() -> None:
    problem = uv_problem(points((3, 4, 1.0)))
    state = mo.unroll(Clean(gain=0.7, share=0.6, scales=(0, 3)), 12)(problem).state
    torch.testing.assert_close(state.residual, -problem.gradient(state.x), atol=1e-8, rtol=1e-8)


def test_below_the_threshold_nothing_is_taken() -> None:
    sky = points((3, 4, 1.0))
    outputs = mo.unroll(Clean(gain=0.5, threshold=5.0), 60)(uv_problem(sky, noise=0.05)).outputs
    assert torch.equal(outputs[-1], outputs[-2])
    assert float(outputs[-1][0, 0, 3, 4]) > 0.5
    assert int((outputs[-1] != 0).sum()) <= 3
    silent = mo.unroll(Clean(threshold=50.0), 5)(uv_problem(torch.zeros_like(sky), noise=0.05)).final
    assert not bool(silent.any())


def test_share_threshold_and_bias_learn_where_the_choice_is_soft() -> None:
    sky = points((3, 4, 1.0), (9, 11, 0.6))
    net = mo.unroll(
        mo.parameterize(
            Clean(share=0.5, threshold=3.0, scales=(0, 4), bias=torch.ones(2), softness=0.1),
            {name: mo.per_step(3) for name in ("gain", "share", "threshold", "bias")},
        ),
        3,
    )
    (net(uv_problem(sky)).final - sky).square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in net.parameters())


def test_what_it_does_not_deconvolve_is_refused() -> None:
    operator = mo.operators.Fourier()
    with pytest.raises(mo.MetaoptError, match=r"real pictures \(B, C, H, W\).*complex"):
        mo.unroll(Clean(), 1)(mo.InverseProblem(operator, torch.zeros(1, 1, 4, 4, dtype=torch.complex64), 0.1))
    hole = torch.ones(4, 4).index_fill(0, torch.tensor([2]), 0.0)
    with pytest.raises(mo.MetaoptError, match="nothing of the pixel in the middle"):
        mo.unroll(Clean(), 1)(mo.InverseProblem(mo.operators.Mask(hole), torch.ones(1, 1, 4, 4) * hole, 0.1))
    counts = mo.InverseProblem(mo.operators.Identity(), torch.ones(1, 1, 4, 4), likelihood=mo.problems.Poisson())
    with pytest.raises(mo.MetaoptError, match="Gaussian likelihood, not of Poisson"):
        mo.unroll(Clean(), 1)(counts)
    with pytest.raises(mo.MetaoptError, match="scale"):
        Clean(scales=())
    with pytest.raises(mo.MetaoptError, match="scale"):
        Clean(scales=(-1.0,))
    with pytest.raises(mo.MetaoptError, match="gain"):
        Clean(gain=2.5)

"""The classical ways from k-space to a picture, against formulas of NumPy and energies of random pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.mri.classical import cg_sense, l1_wavelet, root_sum_of_squares, total_variation, zero_filled

from ...cases.problems import coils_problem, kspace_problem
from ...helpers import normal

WAYS: dict[str, Callable[[Any], Tensor]] = {
    "zero-filled": zero_filled,
    "conjugate gradients": lambda problem: cg_sense(problem, 0.1),
    "wavelets": lambda problem: l1_wavelet(problem, 1.0, levels=1),
    "total variation": lambda problem: total_variation(problem, 1.0),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def head(shape: tuple[int, ...], sets: int = 1) -> Tensor:
    """Blocks of even brightness with a smooth phase, (1, sets, *shape)."""
    x = torch.zeros(1, sets, *shape, dtype=torch.complex128)
    for i, value in enumerate((1.0, 0.6, 0.3), start=1):
        x[(..., *(slice(n * i // 8, n - n * i // 6) for n in shape))] = value
    ramp = torch.linspace(-1, 1, shape[-1], dtype=torch.float64)
    return x * torch.exp(1j * ramp)


def scan(shape: tuple[int, ...], coils: int, sets: int = 1, noise: float = 0.01) -> tuple[mo.InverseProblem, Tensor]:
    """A part of the points of k-space of a head, of one coil without maps or of several."""
    x, dims = head(shape, sets), len(shape)
    keep = (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.35).double()
    near = torch.ones(shape, dtype=torch.bool)
    for axis, n in enumerate(shape):
        low = torch.fft.fftfreq(n).abs() < 0.15
        near = near & low.reshape([-1 if i == axis else 1 for i in range(dims)])
    mask = torch.maximum(keep, near.double())
    operator: mo.operators.Operator = mo.operators.Fourier(mask, dims=dims)
    if coils:
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n).double() for n in shape], indexing="ij"))
        centres = normal(5, sets, coils, dims).reshape(sets, coils, dims, *[1] * dims)
        maps = torch.exp(-((grid - centres) ** 2).sum(2)).to(torch.complex128)
        operator = operator @ mo.operators.Sense(maps / torch.linalg.vector_norm(maps, dim=(0, 1)), dims)
    y = operator(x)
    drawn = noise * normal(2, *y.shape, dtype=torch.complex128) * 2**0.5
    return mo.InverseProblem(operator, y + mask * drawn, noise), x


def error(picture: Tensor, x: Tensor) -> float:
    return float((picture - x).norm() / x.norm())


@every_way
@pytest.mark.parametrize(("build", "sets"), [(kspace_problem, 1), (coils_problem, 2)], ids=["one coil", "two coils"])
def test_a_picture_has_a_part_for_each_set_of_maps(way: Any, build: Any, sets: int) -> None:
    picture = way(build(1))
    assert picture.shape == (3, sets, 6, 8) and picture.dtype == torch.complex128
    assert torch.isfinite(picture.abs()).all()


@pytest.mark.parametrize("shape", [(32, 24), (12, 16, 10)], ids=["2-D", "3-D"])
@pytest.mark.parametrize("coils", [0, 4])
def test_what_is_known_of_the_picture_brings_it_nearer_to_the_truth(shape: tuple[int, ...], coils: int) -> None:
    problem, x = scan(shape, coils)
    zero = error(zero_filled(problem), x)
    sparse = error(l1_wavelet(problem, 200.0, levels=2), x)
    flat = error(total_variation(problem, 50.0), x)
    assert sparse < 0.9 * zero and flat < 0.5 * zero


def test_several_coils_and_two_sets_are_solved_together() -> None:
    problem, x = scan((32, 24), 8, sets=2, noise=1e-3)
    assert error(cg_sense(problem, 1.0, max_steps=200, until=mo.Settled(1e-6)), x) < 0.3 * error(
        zero_filled(problem), x
    )


def test_conjugate_gradients_without_noise_find_what_coils_determine() -> None:
    problem, x = scan((16, 12), 8, noise=1e-8)
    picture = cg_sense(problem, max_steps=500, until=mo.Settled(relative=1e-10))
    assert error(picture, x) < 1e-3


@pytest.mark.parametrize("way", [l1_wavelet, total_variation])
def test_one_weight_times_the_precision_fits_every_noise_level(way: Any) -> None:
    """The energy is in units of noise^2, and so is the weight."""
    problem, _ = scan((16, 12), 4)
    louder = mo.InverseProblem(problem.operator, problem.y, 10 * problem.noise)
    torch.testing.assert_close(way(problem, 30.0), way(louder, 0.3), rtol=1e-6, atol=1e-6)


def test_zero_filling_and_root_sum_of_squares_are_their_formulas() -> None:
    problem = kspace_problem(3)
    np.testing.assert_allclose(zero_filled(problem), np.fft.ifft2(problem.y.numpy(), norm="ortho"), atol=1e-12)
    pictures = normal(1, 2, 5, 3, 4, dtype=torch.complex128)
    expected = np.sqrt((np.abs(pictures.numpy()) ** 2).sum(1, keepdims=True))
    np.testing.assert_allclose(root_sum_of_squares(pictures), expected)
    assert not root_sum_of_squares(pictures).is_complex()


@every_way
def test_what_is_no_problem_is_refused(way: Any) -> None:
    with pytest.raises(mo.MetaoptError, match="InverseProblem"):
        way(normal(0, 1, 1, 6, 8))


@pytest.mark.parametrize("way", [l1_wavelet, total_variation, cg_sense])
def test_impossible_weights_and_numbers_of_steps_are_refused(way: Any) -> None:
    with pytest.raises(mo.MetaoptError, match=r"needs weight to be .* at least 0"):
        way(kspace_problem(1), -0.1)
    with pytest.raises(mo.MetaoptError, match="max_steps"):
        way(kspace_problem(1), 0.1, max_steps=0)


def test_wavelets_go_on_where_a_small_weight_changes_the_first_steps_by_little() -> None:
    """What is not sampled comes slowly, from the threshold alone: the first steps of a single coil are short."""
    problem, _ = scan((32, 32), 0, noise=1e-3)
    taken: list[int] = []
    l1_wavelet(problem, 0.25 / 1e-3, callback=lambda k, state, residual: taken.append(k))
    assert len(taken) == 60

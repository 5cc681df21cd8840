"""Priors against finite differences, the definition of a prox, and other people's libraries."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from metaopt.core import MetaoptError, parameterize, per_step, shared, tree
from metaopt.priors.cycle_spinning import CycleSpinning
from metaopt.priors.field_of_experts import FieldOfExperts, dct_filters
from metaopt.priors.prior import Sparsity, from_planes, soft_threshold, to_planes
from metaopt.priors.total_variation import TotalVariation
from metaopt.priors.wavelet import HAAR, SYM4, Wavelet


class Case(NamedTuple):
    """``build(smoothing)`` gives a prior for images (B, C, H, W); ``exact`` whether its prox solves its definition."""

    name: str
    build: Callable[[float], Any]
    exact: bool = True
    size: tuple[int, int] = (8, 12)


CASES = [
    Case("sparsity", lambda s: Sparsity(0.7, smoothing=s)),
    Case("total variation", lambda s: TotalVariation(0.7, smoothing=s, inner=6)),
    Case("total variation of rows", lambda s: TotalVariation(0.7, smoothing=s, inner=6, dims=1)),
    Case("total variation of volumes", lambda s: TotalVariation(0.7, smoothing=s, inner=6, dims=3), size=(3, 5)),
    Case("anisotropic total variation", lambda s: TotalVariation(0.7, smoothing=s, inner=6, isotropic=False)),
    Case("periodic total variation", lambda s: TotalVariation(0.7, smoothing=s, inner=6, periodic=True)),
    Case("wavelet", lambda s: Wavelet(0.7, levels=2, smoothing=s)),
    Case("deep wavelet", lambda s: Wavelet(0.7, levels=3, smoothing=s), size=(8, 16)),
    Case("spun wavelet", lambda s: Wavelet(0.7, levels=2, shifts=2, smoothing=s), exact=False),
    Case("mirrored wavelet", lambda s: Wavelet(0.7, levels=3, smoothing=s), exact=False, size=(5, 11)),
    Case("haar wavelet", lambda s: Wavelet(0.7, levels=2, smoothing=s, taps=HAAR)),
    Case("wavelet of rows", lambda s: Wavelet(0.7, levels=2, smoothing=s, dims=1)),
    Case("wavelet of volumes", lambda s: Wavelet(0.7, levels=1, smoothing=s, dims=3), size=(4, 6)),
    Case("mirrored wavelet of volumes", lambda s: Wavelet(0.7, 2, smoothing=s, dims=3), exact=False, size=(3, 5)),
    Case("spinning wavelet", lambda s: CycleSpinning(Wavelet(0.7, levels=2, smoothing=s), span=4)),
    Case("field of experts", lambda s: FieldOfExperts(dct_filters(3), weight=0.7, scale=0.4), exact=False),
    Case("field of experts, weighed", lambda s: FieldOfExperts(dct_filters(3), torch.rand(8) + 0.1), exact=False),
]
WAVELET = next(case for case in CASES if case.name == "wavelet")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_kind = pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
with_prox = pytest.mark.parametrize("case", [c for c in CASES if "experts" not in c.name], ids=lambda case: case.name)
with_exact_prox = pytest.mark.parametrize("case", [c for c in CASES if c.exact], ids=lambda case: case.name)


def drawn(case: Case, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(3, 2, *case.size, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Re<a, b> of each sample."""
    return (a.conj() * b).real.flatten(1).sum(1)


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@every_case
@every_kind
def test_gradient_is_the_slope_of_the_energy(case: Case, dtype: torch.dtype) -> None:
    prior, x, direction = case.build(1e-7), drawn(case, dtype), drawn(case, dtype, 1)
    h = 1e-6
    slope = (prior.energy(x + h * direction) - prior.energy(x - h * direction)) / (2 * h)
    close(inner(prior.gradient(x), direction), slope, 1e-6)


@every_case
@every_kind
def test_energy_can_be_differentiated_where_it_has_kinks(case: Case, dtype: torch.dtype) -> None:
    x = torch.zeros_like(drawn(case, dtype)).requires_grad_()
    (slope,) = torch.autograd.grad(case.build(1e-3).energy(x).sum(), x)
    close(slope, torch.zeros_like(x))
    close(case.build(1e-3).gradient(x).detach(), torch.zeros_like(x))


def test_gradient_of_total_variation_is_that_of_the_smoothed_formula() -> None:
    x = drawn(CASES[1]).requires_grad_()
    down, right = x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]
    squares = torch.zeros_like(x).clone()
    squares[..., :-1, :] += down.square()
    squares[..., :-1] += right.square()
    (expected,) = torch.autograd.grad(0.7 * torch.sqrt(squares + 0.5**2).sum(), x)
    close(TotalVariation(0.7, smoothing=0.5).gradient(x).detach(), expected)


@with_exact_prox
@every_kind
@pytest.mark.parametrize("step", [0.05, 1.3])
def test_prox_solves_its_definition(case: Case, dtype: torch.dtype, step: float) -> None:
    """The objective is 1-strongly convex, so around its minimum u it rises by at least |d|^2 / 2 in any direction d."""
    prior, x = case.build(1e-3), drawn(case, dtype)
    prior.inner = 3000  # of total variation, whose prox is exact in the limit

    def objective(u: Tensor) -> Tensor:
        return inner(u - x, u - x) / 2 + step * prior.energy(u)

    u = prior.prox(x, step)
    for seed in range(10):
        for d in (0.1 * (x - u), -0.1 * u, 1e-2 * drawn(case, dtype, seed), drawn(case, dtype, seed)):
            assert (objective(u + d) - objective(u) - inner(d, d) / 2 >= -1e-5).all()


@with_prox
def test_prox_takes_a_step_a_sample(case: Case) -> None:
    prior, x, steps = case.build(1e-3), drawn(case), [0.1, 0.5, 2.0]
    together = prior.prox(x, torch.tensor(steps, dtype=torch.float64).reshape(3, 1, 1, 1))
    close(together, torch.cat([prior.prox(x[i : i + 1], step) for i, step in enumerate(steps)]))


@with_prox
def test_prox_of_no_step_changes_nothing(case: Case) -> None:
    x = drawn(case)
    close(case.build(1e-3).prox(x, 0.0), x)


@with_prox
def test_prox_is_differentiable_in_image_and_weight(case: Case) -> None:
    name = "prior.weight" if "spinning" in case.name else "weight"
    prior, x = parameterize(case.build(1e-3), {name: shared()}), drawn(case)[:1].requires_grad_()
    weight = next(prior.parameters())
    torch.autograd.gradcheck(lambda x, _: prior.prox(x, 0.3), (x, weight), fast_mode=True)


@every_case
def test_priors_of_complex_images_look_at_magnitudes(case: Case) -> None:
    prior, x, turn = case.build(1e-3), drawn(case, torch.complex128), torch.tensor(np.exp(0.7j))
    close(prior.energy(turn * x), prior.energy(x))
    close(prior.gradient(turn * x), turn * prior.gradient(x))
    real = x.real + 0j
    close(prior.energy(real), prior.energy(x.real))
    close(prior.gradient(real), prior.gradient(x.real) + 0j)
    if hasattr(prior, "prox"):
        close(prior.prox(turn * x, 0.3), turn * prior.prox(x, 0.3))
        close(prior.prox(real, 0.3), prior.prox(x.real, 0.3) + 0j)


@every_case
def test_batch_equals_its_items_and_vmap_a_loop(case: Case) -> None:
    prior, x = case.build(1e-3), drawn(case)
    for verb in filter(None, (prior.energy, prior.gradient, getattr(prior, "prox", None))):

        def call(x: Tensor, verb: Any = verb) -> Tensor:
            return verb(x, 0.3) if verb.__name__ == "prox" else verb(x)

        items = [call(x[i : i + 1]) for i in range(3)]
        close(call(x), torch.cat(items))
        close(tree.vmap(call)(x.unsqueeze(1)), torch.stack(items))


@every_case
def test_prior_survives_pickle_deepcopy_state_dict_and_float32(case: Case) -> None:
    prior, x = case.build(1e-3), drawn(case)
    restored = case.build(1e-3)
    restored.load_state_dict(prior.state_dict())
    for twin in (pickle.loads(pickle.dumps(prior)), copy.deepcopy(prior), restored):
        close(twin.gradient(x), prior.gradient(x), 0)
    single = copy.deepcopy(prior).to(torch.float32)
    assert single.gradient(x.float()).dtype == torch.float32
    close(single.energy(x.float()), prior.energy(x).float(), 1e-4)


def test_weight_of_a_step_is_used_at_that_step() -> None:
    x = drawn(CASES[0])
    for case in CASES[:7]:
        prior = parameterize(case.build(1e-3), {"weight": per_step(2, [0.1, 0.2])})
        close(prior.gradient(x, 1), 2 * prior.gradient(x, 0))
        close(prior.energy(x, 1), 2 * prior.energy(x, 0))
        close(prior.prox(x, 0.2, 0), prior.prox(x, 0.1, 1))


def test_soft_threshold_shortens_real_and_complex_numbers() -> None:
    close(soft_threshold(torch.tensor([-3.0, -0.5, 0.0, 2.0]), 1.0), torch.tensor([-2.0, 0.0, 0.0, 1.0]))
    close(soft_threshold(torch.tensor([3 + 4j, 0.3 - 0.4j]), 1.0), torch.tensor([0.8 * (3 + 4j), 0]))


def test_planes_come_back() -> None:
    for dtype in (torch.float64, torch.complex128):
        assert torch.equal(from_planes(to_planes(drawn(CASES[0], dtype))), drawn(CASES[0], dtype))


@pytest.mark.parametrize(("shape", "channel_axis"), [((9, 14), None), ((3, 9, 8), 0), ((5, 6, 7), None)])
@pytest.mark.parametrize("weight", [0.1, 0.5])
def test_total_variation_prox_is_scikit_images(shape: tuple[int, ...], channel_axis: int | None, weight: float) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    expected = denoise_tv_chambolle(x, weight=weight, eps=1e-14, max_num_iter=5000, channel_axis=channel_axis)
    prior = TotalVariation(weight, inner=2000, dims=len(shape) - (channel_axis is not None))
    close(prior.prox(torch.tensor(x)[None], 1.0)[0], torch.tensor(expected), 5e-4)


def test_twenty_inner_iterations_come_near_the_prox() -> None:
    x, weight = torch.rand(1, 1, 32, 32, dtype=torch.float64), 0.1
    error = TotalVariation(weight, inner=20).prox(x, 1.0) - TotalVariation(weight, inner=2000).prox(x, 1.0)
    assert error.abs().max() <= 2 * weight / 20


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.01, 2))
@settings(max_examples=30, deadline=None)
def test_total_variation_of_two_pixels_draws_them_together(a: float, b: float, weight: float) -> None:
    shift = np.sign(b - a) * min(weight, abs(b - a) / 2)
    prox = TotalVariation(weight, inner=200, dims=1).prox(torch.tensor([[a, b]], dtype=torch.float64), 1.0)
    close(prox, torch.tensor([[a + shift, b - shift]], dtype=torch.float64), 1e-6)


def test_wavelet_filter_is_orthonormal_with_four_vanishing_moments() -> None:
    h = np.array(SYM4)
    moments = [(h[::-1] * (-1.0) ** np.arange(8)) @ np.arange(8.0) ** p for p in range(4)]
    np.testing.assert_allclose(moments, 0, atol=1e-11)
    np.testing.assert_allclose([h[2 * j :] @ h[: 8 - 2 * j] for j in range(4)], [1, 0, 0, 0], atol=1e-15)


def details_by_loops(x: np.ndarray, levels: int) -> list[np.ndarray]:
    """Filter every row, then every column, at even places, one sum after another."""
    filters = [np.array(SYM4), np.array(SYM4)[::-1] * (-1.0) ** np.arange(8)]

    def halved(a: np.ndarray, h: np.ndarray) -> np.ndarray:
        n = a.shape[-1]
        return np.stack([sum(h[t] * a[..., (2 * i + t) % n] for t in range(8)) for i in range(n // 2)], -1)

    found = []
    for _ in range(levels):
        bands = [[halved(halved(x.T, column).T, row) for row in filters] for column in filters]
        x = bands[0][0]
        found += [bands[0][1], bands[1][0], bands[1][1]]
    return found


@pytest.mark.parametrize(("size", "levels"), [((8, 12), 1), ((8, 12), 2), ((16, 8), 3), ((4, 4), 2)])
def test_wavelet_energy_is_that_of_the_filter_bank(size: tuple[int, int], levels: int) -> None:
    x = np.random.default_rng(0).normal(size=size)
    expected = sum(np.abs(d).sum() for d in details_by_loops(x, levels))
    close(Wavelet(1.0, levels).energy(torch.tensor(x)[None]), torch.tensor([expected]), 1e-11)


@given(rows=st.integers(1, 3), columns=st.integers(1, 3), levels=st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_wavelet_basis_is_orthonormal_at_every_size(rows: int, columns: int, levels: int) -> None:
    """A threshold beyond every detail leaves an orthogonal projection: P P = P = P^T, of the approximations' rank."""
    unit = 2**levels
    n = rows * columns * unit**2
    basis = torch.eye(n, dtype=torch.float64).reshape(n, rows * unit, columns * unit)
    projection = Wavelet(1e6, levels).prox(basis, 1.0).reshape(n, n)
    close(projection @ projection, projection, 1e-11)
    close(projection, projection.T, 1e-11)
    close(projection.trace(), torch.tensor(float(rows * columns), dtype=torch.float64), 1e-9)
    close(Wavelet(0.0, levels).prox(basis, 1.0), basis, 1e-11)


def test_wavelet_energy_of_a_volume_is_that_of_filtering_axis_after_axis() -> None:
    x = np.random.default_rng(0).normal(size=(8, 10, 12))
    filters = [np.array(SYM4), np.array(SYM4)[::-1] * (-1.0) ** np.arange(8)]

    def halved(a: np.ndarray, h: np.ndarray, axis: int) -> np.ndarray:
        return sum(h[t] * np.roll(a, -t, axis) for t in range(8)).take(np.arange(0, a.shape[axis], 2), axis)

    bands = {"": x}
    for axis in range(3):
        bands = {name + str(i): halved(b, h, axis) for name, b in bands.items() for i, h in enumerate(filters)}
    expected = sum(np.abs(band).sum() for name, band in bands.items() if name != "000")
    close(Wavelet(1.0, 1, dims=3).energy(torch.tensor(x)[None]), torch.tensor([expected]), 1e-11)


def test_details_of_haars_wavelets_are_differences_of_blocks() -> None:
    x = drawn(WAVELET)
    a, b, c, d = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    details = ((a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2)
    expected = sum(e.abs().flatten(1).sum(1) for e in details)
    close(Wavelet(1.0, 1, taps=HAAR).energy(x), expected)


def test_spinning_moves_over_all_translates_evenly_and_by_the_step_alone() -> None:
    prior = CycleSpinning(Wavelet(0.4, 2), span=4)
    moves = [prior.move(k) for k in range(160)]
    assert set(moves) == {(i, j) for i in range(4) for j in range(4)}
    assert max(map(moves.count, moves)) <= 2 * min(map(moves.count, moves))
    x = drawn(WAVELET)
    i, j = prior.move(7)
    expected = Wavelet(0.4, 2).prox(x.roll((i, j), (-2, -1)), 0.5).roll((-i, -j), (-2, -1))
    close(prior.prox(x, 0.5, 7), expected)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_total_variations_analysis_and_synthesis_are_adjoint_and_bounded(dims: int) -> None:
    for periodic in (True, False):
        prior = TotalVariation(0.3, dims=dims, periodic=periodic)
        x = torch.randn(2, 4, 6, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
        own = prior.analyze(x)
        dual = prior.project(prior.analyze(x.flip(0)))
        left = sum(inner(q, p) for q, p in zip(dual, own, strict=True))
        close(left, inner(prior.synthesize(dual), x))
        assert (sum(inner(p, p) for p in prior.analyze(x)) <= prior.analysis_bound * inner(x, x)).all()
        stacked = torch.stack(prior.project(tuple(50 * p for p in prior.analyze(x))))
        assert float(stacked.abs().square().sum(0).sqrt().max()) == pytest.approx(0.3)
        close(inner(prior.synthesize(own), x), sum(inner(p, p) for p in own))


def test_anisotropic_total_variation_sums_over_axes_and_counts_magnitudes() -> None:
    x = drawn(CASES[1], torch.complex128)
    down, right = np.diff(x.numpy(), axis=-2), np.diff(x.numpy(), axis=-1)
    sums = [np.abs(d).sum(axis=(1, 2, 3)) for d in (down, right)]
    close(TotalVariation(0.7, isotropic=False).energy(x), torch.from_numpy(0.7 * sum(sums)))
    around = [np.abs(np.roll(x.numpy(), -1, axis) - x.numpy()).sum(axis=(1, 2, 3)) for axis in (-2, -1)]
    close(TotalVariation(0.7, isotropic=False, periodic=True).energy(x), torch.from_numpy(0.7 * sum(around)))


def test_spinning_over_a_whole_period_makes_the_wavelet_prox_translation_invariant() -> None:
    x = drawn(WAVELET)
    moved = [Wavelet(0.4, 1, shifts=s).prox(x.roll((1, 3), (-2, -1)), 1.0).roll((-1, -3), (-2, -1)) for s in (1, 2)]
    close(moved[1], Wavelet(0.4, 1, shifts=2).prox(x, 1.0))
    assert (moved[0] - Wavelet(0.4, 1).prox(x, 1.0)).abs().max() > 0.1


@pytest.mark.parametrize("size", [(5, 11), (13, 8), (3, 2)])
def test_wavelet_mirrors_an_image_up_to_whole_units(size: tuple[int, int]) -> None:
    x = drawn(WAVELET._replace(size=size))
    missing = [(0, 0), (0, 0), *((0, -n % 4) for n in size)]
    mirrored, prior = torch.tensor(np.pad(x.numpy(), missing, mode="reflect")), Wavelet(0.4, levels=2)
    close(prior.energy(x), prior.energy(mirrored))
    close(prior.prox(x, 0.5), prior.prox(mirrored, 0.5)[..., : size[0], : size[1]])


@given(height=st.integers(1, 19), width=st.integers(1, 19), levels=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_wavelet_takes_every_size(height: int, width: int, levels: int) -> None:
    prior, flat = Wavelet(0.4, levels), torch.full((2, 1, height, width), 3.0, dtype=torch.float64)
    close(prior.energy(flat), torch.zeros(2, dtype=torch.float64), 1e-10)
    close(prior.prox(flat, 1.0), flat, 1e-10)
    assert prior.gradient(flat).shape == flat.shape


@pytest.mark.parametrize("size", [3, 5, 7])
def test_dct_filters_are_scipys_basis_without_its_constant(size: int) -> None:
    units = np.eye(size**2).reshape(-1, size, size)
    basis = scipy.fft.idctn(units, axes=(1, 2), norm="ortho")[1:]
    overlap = np.abs(np.einsum("aij,bij->ab", dct_filters(size).double().numpy(), basis))
    np.testing.assert_allclose(overlap.max(1), 1, atol=1e-6)
    np.testing.assert_allclose(overlap.sum(), size**2 - 1, atol=1e-4)


def test_energy_of_a_field_of_experts_is_the_papers() -> None:
    x, filters, weights = np.random.default_rng(0).normal(size=(6, 7)), dct_filters(3), torch.linspace(0.5, 2, 8)
    responses = [scipy.signal.correlate2d(x, f, "valid") for f in filters.numpy()]
    expected = sum(w * np.log1p(r**2 / (2 * 0.3**2)).sum() for w, r in zip(weights.tolist(), responses, strict=True))
    energy = FieldOfExperts(filters, weights, scale=0.3).energy(torch.tensor(x)[None, None])
    close(energy, torch.tensor([expected]), 1e-6)


def test_weights_of_a_field_of_experts_stay_positive() -> None:
    prior = FieldOfExperts(dct_filters(3), weight=0.1)
    optimizer = torch.optim.SGD(prior.parameters(), lr=0.01)
    prior.energy(drawn(CASES[0]).float()).sum().backward()
    optimizer.step()
    assert (prior.weight(0) > 0).all() and (prior.weight(0) < 0.1).all()


def test_impossible_priors_are_refused_in_a_sentence() -> None:
    with pytest.raises(MetaoptError, match=r"needs levels to be a whole number of at least 1, but got 0\."):
        Wavelet(0.1, levels=0)
    with pytest.raises(MetaoptError, match=r"1, 2 or 3 trailing axes, but got dims=4"):
        Wavelet(0.1, dims=4)
    with pytest.raises(MetaoptError, match="needs 2, 4, 6 or 8 taps"):
        Wavelet(0.1, taps=(0.5, 0.5))
    with pytest.raises(MetaoptError, match=r"filters to be a real .* \(n, height, width\) .*\(3, 3\) float32\."):
        FieldOfExperts(torch.ones(3, 3))
    with pytest.raises(MetaoptError, match=r"filters \(5, 5\) needs images at least as large, but got \(4, 9\)\."):
        FieldOfExperts(dct_filters(5)).energy(torch.ones(1, 1, 4, 9))

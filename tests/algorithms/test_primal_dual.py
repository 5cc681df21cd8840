"""The primal-dual method against the conditions of its minimum, written out in NumPy, and against FISTA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

import metaopt as mo
from metaopt.algorithms import step_size_for

from ..cases.problems import coils_problem, picture_problem, uneven_noise
from ..helpers import normal

KINDS = [(True, False), (False, False), (True, True), (False, True)]


def differences(x: np.ndarray, periodic: bool) -> np.ndarray:
    """(axes, ...), the last axis first, with the last difference along each axis 0 unless periodic."""
    parts = []
    for axis in (-1, -2):
        part = np.roll(x, -1, axis) - x
        if not periodic:
            part[(..., -1) if axis == -1 else (..., -1, slice(None))] = 0
        parts.append(part)
    return np.stack(parts)


@pytest.mark.parametrize(("isotropic", "periodic"), KINDS)
@pytest.mark.parametrize("noise", ["one", "every frequency"])
def test_where_it_ends_the_energy_has_its_minimum(isotropic: bool, periodic: bool, noise: str) -> None:
    """The duals balance the gradient, are at most the weight, and of its size along every difference (Fenchel)."""
    problem = coils_problem(1) if noise == "one" else uneven_noise(coils_problem(1), 3, 2, 6, 8)
    weight = 0.8
    prior = mo.priors.TotalVariation(weight, isotropic=isotropic, periodic=periodic)
    state = mo.unroll(mo.PrimalDual(prior, step_size_for(problem), ratio=2.0), 2000, keep="last")(problem).state
    dual, d = torch.stack(state.analyzed).numpy(), differences(state.x.numpy(), periodic)
    pull = sum(np.vdot(q, part).real for q, part in zip(dual, d, strict=True))
    axes: Any = 0 if isotropic else ()
    size = np.sqrt((np.abs(d) ** 2).sum(axis=axes))
    assert np.sqrt((np.abs(dual) ** 2).sum(axis=axes)).max() <= weight * (1 + 1e-12)
    assert pull == pytest.approx(weight * size.sum(), rel=1e-5)
    probe = normal(3, *state.x.shape, dtype=torch.complex128)
    along = (problem.gradient(state.x).conj() * probe).sum().real
    against = np.vdot(dual, differences(probe.numpy(), periodic)).real
    assert float(along) == pytest.approx(-against, abs=1e-4 * float(problem.gradient(state.x).norm()))


def test_pure_denoising_is_what_scikit_image_gives() -> None:
    picture = normal(1, 1, 1, 12, 14)
    problem = mo.InverseProblem(mo.operators.Identity(), picture, 1.0)
    final = mo.unroll(mo.PrimalDual(mo.priors.TotalVariation(0.4), 1.0, ratio=1.0), 800, keep="last")(problem).final
    expected = denoise_tv_chambolle(picture[0, 0].numpy(), weight=0.4, eps=1e-12, max_num_iter=20000)
    torch.testing.assert_close(final[0, 0], torch.from_numpy(expected), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("isotropic", "periodic"), KINDS)
def test_it_ends_at_the_energy_at_which_fista_ends(isotropic: bool, periodic: bool) -> None:
    problem = picture_problem(1, 6, 5, dtype=torch.complex128)
    prior = mo.priors.TotalVariation(1.5, inner=60, isotropic=isotropic, periodic=periodic)
    step = step_size_for(problem)

    def end(algorithm: mo.Algorithm[Any, Any, Tensor], steps: int) -> Tensor:
        x = mo.unroll(algorithm, steps, keep="last")(problem).final
        return problem.energy(x) + prior.energy(x)

    found, other = end(mo.PrimalDual(prior, step, ratio=1.0), 600), end(mo.Fista(prior, step), 100)
    torch.testing.assert_close(found, other, rtol=1e-3, atol=0)


def test_what_has_no_analysis_or_no_least_squares_is_refused() -> None:
    counts = mo.InverseProblem(mo.operators.Identity(), torch.ones(1, 1, 4, 4), likelihood=mo.Poisson())
    with pytest.raises(mo.MetaoptError, match="Gaussian likelihood, not Poisson"):
        mo.solve(mo.PrimalDual(mo.priors.TotalVariation(0.1), 1.0), counts, 3)
    with pytest.raises(mo.MetaoptError, match="analyze"):
        mo.PrimalDual(mo.priors.Sparsity(0.1), 1.0)
    with pytest.raises(mo.MetaoptError, match="ratio"):
        mo.PrimalDual(mo.priors.TotalVariation(0.1), 1.0, ratio=0.0)

"""How far updates, priors and networks say they reach is what perturbing a pixel shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import updates
from metaopt.networks import Recurrent, ResidualProx
from metaopt.operators.reach import per_axis, reach_of
from metaopt.priors import FieldOfExperts, Sparsity, TotalVariation, Wavelet, dct_filters

from .networks import random_rim, randomize

SIDE = 41


def spread(function: Callable[[Tensor], Tensor], dims: int = 2) -> tuple[int, ...]:
    """How far from the middle pixel an output depends on it, along each axis."""
    x = torch.randn(1, 1, *[SIDE] * dims, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = x.cumsum(-1) / 4
    changed = x.clone()
    changed[(0, 0, *[SIDE // 2] * dims)] += 0.5
    places = (function(changed) - function(x))[0, 0].abs() > 1e-15
    return tuple(int((index - SIDE // 2).abs().max()) for index in places.nonzero().unbind(1))


PRIORS = {
    "sparsity": (Sparsity(0.1), "reach"),
    "sparsity, prox": (Sparsity(0.1), "prox_reach"),
    "total variation": (TotalVariation(1.0), "reach"),
    "total variation, prox": (TotalVariation(5.0, inner=4), "prox_reach"),
    "field of experts": (FieldOfExperts(dct_filters(4).double()[:, :, :3]), "reach"),
    "residual prox": (ResidualProx(hidden=4, layers=3).double(), "prox_reach"),
}


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_reaches_as_far_as_it_says(name: str) -> None:
    prior, word = PRIORS[name]
    torch.manual_seed(0)
    randomize(prior)
    function = prior.gradient if word == "reach" else lambda x: prior.prox(x, torch.tensor(0.5, dtype=x.dtype))
    assert spread(function) == per_axis(getattr(prior, word), 2, 0)


def test_a_prior_that_wraps_around_has_no_reach() -> None:
    assert reach_of(Wavelet(0.1)) is None
    assert reach_of(Wavelet(0.1), "prox_reach") is None
    assert mo.ProximalGradient(Wavelet(0.1), 0.1).reach is None


COORDINATEWISE = [
    updates.Sgd(0.1, 0.01),
    updates.Momentum(0.1),
    updates.Nesterov(0.1),
    updates.RMSprop(),
    updates.Adam(),
    updates.AdamW(),
    updates.CoordinatewiseLstm(),
    updates.LearnedAdam(),
    updates.LearnedAdam(Recurrent()),
    updates.MetaLstm(),
]


@pytest.mark.parametrize("update", COORDINATEWISE, ids=lambda u: type(u).__name__)
def test_an_update_of_coordinates_reaches_nowhere(update: torch.nn.Module) -> None:
    update = update.double()
    randomize(update)

    def change(gradient: Tensor) -> Tensor:
        memory = update.init(gradient, ())
        first, memory = update(gradient, gradient, memory, 0, ())
        return update(gradient, gradient, memory, 1, ())[0] + first

    assert spread(change) == (0, 0)
    assert (update.reach, update.period) == (0, 1)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("kernels", [[1], [3], [1, 3]], ids=str)
def test_a_cell_reaches_as_far_as_it_says(kernels: list[int], dims: int) -> None:
    """At stride 1, where no pixel differs from another by its place."""
    update = random_rim(kernels=kernels, dims=dims, hidden=12).algorithm.update.module
    context = (torch.zeros(1, dtype=torch.float64),)
    with torch.no_grad():
        found = spread(lambda g: update(g, g, update.init(g, context), 0, context)[0], dims)
    assert found == (update.reach,) * dims


def test_an_update_around_another_reaches_as_far() -> None:
    inner = random_rim(stride=2, scales=[3]).algorithm.update.module
    for wrapped in (
        updates.ComplexAsChannels(inner),
        updates.ComplexAsBatch(inner),
        updates.WithoutEstimate(inner),
        updates.WithoutMemory(inner),
    ):
        assert (wrapped.reach, wrapped.period) == (inner.reach, 6)

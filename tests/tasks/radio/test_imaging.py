"""Problems of radio imaging are drawn as they are described: skies, coverage, and thermal noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import tree
from metaopt.core import random
from metaopt.tasks import RadioImaging, Skies


def galaxies() -> list[Tensor]:
    """Two sources, and the same turned."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 40), indexing="ij")
    pair = [torch.exp(-((x - a) ** 2 + y**2) / 0.02) for a in (-0.3, 0.4)]
    return [(pair[0] + 0.3 * pair[1])[None], (0.5 * pair[0] + pair[1]).T[None]]


def task(**changes: Any) -> RadioImaging:
    settings: dict[str, Any] = {"arrays": ["random", "atca"], "stations": (5, 8), **changes}
    return RadioImaging(Skies(galaxies(), size=24, batch=3), **settings)


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)], ids=["galaxies", "pictures", "components"])
def test_skies_are_positive_with_a_peak_of_one_and_a_dark_border_line(shares: tuple[float, float]) -> None:
    bright = [torch.full((1, 50, 60), 255, dtype=torch.uint8)]
    skies = Skies(galaxies(), bright, size=32, batch=6, galaxy_share=shares[0], picture_share=shares[1])
    drawn = skies.draw(random.generator(1))
    assert drawn.shape == (6, 1, 32, 32)
    assert bool(drawn.isfinite().all() and (drawn >= 0).all())
    torch.testing.assert_close(drawn.amax((1, 2, 3)), torch.ones(6), atol=1e-5, rtol=0)
    if shares[1]:  # a picture is seen through a window
        assert float(drawn[..., 0].max()) < 0.2


def test_a_stretch_widens_the_dynamic_range() -> None:
    """What was at half of the peak is then at about 1 / sqrt(a)."""
    plain, wide = (
        Skies(galaxies(), size=32, batch=40, stretches=(a, a), galaxy_share=1.0, picture_share=0.0) for a in (1e-3, 1e4)
    )
    medians = [
        torch.stack([x[x > 1e-6].median() for x in skies.draw(random.generator(2))]).mean() for skies in (plain, wide)
    ]
    assert medians[1] < 0.7 * medians[0]


def test_a_seed_is_a_batch_and_leaves_the_global_generator() -> None:
    before = torch.get_rng_state()
    first, second, other = (tree.leaves(task().sample(seed)) for seed in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[-1], other[-1])
    assert torch.equal(before, torch.get_rng_state())


def test_the_noise_is_white_of_the_stated_level_where_something_was_measured() -> None:
    for seed in range(3):
        problem, target = task(stations=(8, 8)).sample(seed)
        noise = torch.view_as_real(problem.y - problem.operator(target))
        measured = problem.operator.weights > 0
        assert float(noise[~measured].abs().max()) == 0
        unit = noise[measured].flatten()
        assert abs(float(unit.var()) - 1) < 6 * (2 / len(unit)) ** 0.5


def test_the_peak_over_the_noise_is_as_asked_for() -> None:
    problem, target = task(signals=(100.0, 100.0)).sample(3)
    seen = problem.operator.adjoint(problem.operator(target))  # without noise
    level = problem.operator.weights.sum((1, 2, 3)).sqrt()  # the standard deviation of A^H n
    torch.testing.assert_close(seen.amax((1, 2, 3)) / level, torch.full((3,), 100.0), rtol=1e-3, atol=0)


def test_each_sky_has_a_coverage_of_its_own_and_no_baseline_is_longer_than_pixels_resolve() -> None:
    problem, _ = task(oversampling=(2.0, 2.0)).sample(0)
    weights = problem.operator.weights
    assert not torch.equal(weights[0], weights[1])
    cells = torch.fft.fftfreq(48).abs()  # in cycles a pixel; the limit is 1/2 over the oversampling
    assert float(weights[..., cells > 0.26, :].sum() + weights[..., cells > 0.26].sum()) == 0
    reached = torch.maximum(cells[:, None], cells)[weights[0, 0] > 0]
    assert float(reached.max()) > 0.22


def test_gridded_visibilities_are_those_of_baselines_on_the_grid() -> None:
    pytest.importorskip("finufft", reason="finufft computes visibilities")
    size, cell = 8, 1e-5
    problem, sky = RadioImaging(Skies(galaxies(), size=size, batch=1), ["random"], stations=(6, 6)).sample(1)
    rows, columns = (problem.operator.weights[0, 0] > 0).nonzero(as_tuple=True)
    light = 299_792_458.0
    u, v = (torch.fft.fftfreq(2 * size, dtype=torch.float64)[i] / cell * light for i in (columns, rows))
    # rows grow to the north as m does, and columns to the west, against l
    uvw = torch.stack([-u, v, torch.zeros_like(u)], 1)
    direct = mo.operators.Visibilities(uvw, torch.ones(1, dtype=torch.float64), (size, size), cell)(sky.double())
    shift = torch.exp(2j * torch.pi * (u + v) * cell / light * (size // 2))  # their origin is the middle
    expected = problem.operator.weights[0, 0, rows, columns].double().sqrt() * direct[0, :, 0] / shift
    found = problem.operator(sky)[0, 0, rows, columns].to(torch.complex128)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"arrays": ["random", "vlbi"]}, "no array 'vlbi'"), ({"arrays": []}, "at least one array")],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        task(**changes)


def test_skies_need_a_galaxy_and_shares_of_at_most_one() -> None:
    with pytest.raises(mo.MetaoptError, match="at least one galaxy"):
        Skies([])
    with pytest.raises(mo.MetaoptError, match="at most 1 together"):
        Skies(galaxies(), galaxy_share=0.7, picture_share=0.7)

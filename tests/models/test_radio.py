"""What is learned for visibilities: classical before training, for pictures of every size, and of real baselines."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms import Clean, Deconvolution
from metaopt.models import learned_clean, load, radio_rim, save
from metaopt.tasks import radio

from ..helpers import normal


def sky(height: int, width: int) -> Tensor:
    x = torch.zeros(1, 1, height, width, dtype=torch.float64)
    x[..., height // 2, width // 3], x[..., height // 2 - 2 : height // 2, width // 2] = 1.0, 0.4
    return x


def extended(height: int, width: int) -> Tensor:
    """The same sky seen with a beam of about 4 pixels."""
    profile = torch.exp(-torch.arange(-6, 7, dtype=torch.float64).square() / (2 * 1.5**2))
    kernel = torch.outer(profile, profile)[None, None]
    blurred = torch.nn.functional.conv2d(sky(height, width), kernel, padding=6)
    return blurred / blurred.max()


def observed(height: int, width: int, dtype: torch.dtype = torch.float64, x: Tensor | None = None) -> mo.InverseProblem:
    """Ten hours of the six stations of ATCA, with noise of 10 mJy."""
    pytest.importorskip("finufft", reason="finufft computes visibilities")
    rows = radio.synthesize(radio.read_array("atca").positions, -0.8, 36_000.0, 600.0)
    flat, frequency = rows.uvw.clone(), torch.tensor([1.4e9], dtype=torch.float64)
    flat[:, 2] = 0
    cell = mo.operators.largest_cell(flat, frequency) / 1.5
    weights = torch.full((len(flat), 1), 1e4, dtype=torch.float64)
    operator = mo.operators.Visibilities(flat, frequency, (height, width), cell, weights)
    seen = operator.weighted(None)(sky(height, width) if x is None else x)
    y = operator.whiten(radio.add_thermal_noise(seen, weights, 3))
    return mo.tree.to(mo.InverseProblem(operator, y, 1.0).by_normal(), dtype)


def test_before_training_the_update_says_nothing() -> None:
    problem = observed(20, 24)
    net = radio_rim(hidden=4, steps=3).double()
    update = net.algorithm.update(0)
    x = normal(0, 1, 2, 20, 24)
    change, _ = update(x, x, update.init(x, ()), 0, ())
    assert not bool(change.any())
    classical = mo.unroll(Deconvolution(update, 0.5, 20), 3)(problem).final
    torch.testing.assert_close(net(problem).final, classical)


@pytest.mark.parametrize("shape", [(20, 24), (17, 31), (33, 20)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pictures_of_any_size_come_of_real_baselines(shape: tuple[int, int], dtype: torch.dtype) -> None:
    found = radio_rim(hidden=4, steps=4).to(dtype)(observed(*shape, dtype)).final.detach()
    assert found.shape == (1, 1, *shape)
    assert found.dtype == dtype
    assert bool((found >= 0).all())
    wanted = sky(*shape).to(dtype)
    assert float((found - wanted).norm()) < 0.7 * float(wanted.norm())


def test_one_gridding_and_the_visibilities_themselves_give_the_same() -> None:
    gridded = observed(20, 24)
    plain = mo.InverseProblem(gridded.operator, gridded.y, 1.0)
    net = radio_rim(hidden=4, steps=2).double()
    torch.testing.assert_close(net(plain).final, net(gridded).final, rtol=1e-5, atol=1e-7)


def test_it_is_loaded_as_it_was_saved(tmp_path) -> None:
    net = radio_rim(hidden=4, steps=2, iterations=5).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save(net, tmp_path / "a.safetensors", {"tasks": ["image visibilities"]})
    problem = observed(20, 24)
    torch.testing.assert_close(load(tmp_path / "a.safetensors").double()(problem).final, net(problem).final)


def test_before_training_learned_clean_is_clean() -> None:
    problem, bias = observed(20, 24), (1.0, 0.7)
    net = learned_clean((0.0, 3.0), bias, gain=0.5, share=0.6, threshold=2.0, softness=0.1, steps=6).double()
    classical = Clean(0.5, 0.6, 2.0, (0.0, 3.0), torch.tensor(bias), 0.1)
    torch.testing.assert_close(net(problem).final, mo.unroll(classical, 6)(problem).final, rtol=1e-6, atol=1e-8)


def test_learned_clean_learns_all_its_settings_where_little_is_left_to_clean() -> None:
    """Components far below the threshold have tiny factors, whose scaling must not overflow in derivatives."""
    net = learned_clean((0.0, 3.0), (1.0, 0.7), threshold=30.0, steps=12)
    problem = observed(20, 24, torch.float32)
    (net(problem).final - sky(20, 24).float()).square().sum().backward()
    assert all(bool(p.grad.isfinite().all() and p.grad.any()) for p in net.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in net.parameters())


def test_a_bias_for_each_scale_is_asked_for() -> None:
    with pytest.raises(mo.MetaoptError, match="a bias for each of its 2 scales, but got 1"):
        learned_clean((0.0, 3.0), (1.0,))


@pytest.mark.parametrize("shape", [(48, 64), (47, 33)])
def test_the_shipped_network_takes_any_size_and_any_unit_of_flux(shape: tuple[int, int]) -> None:
    net, given = load("radio").double(), observed(*shape)
    expected = net(given).final
    assert bool((expected >= 0).all())
    assert float((expected - sky(*shape)).norm()) < 0.7 * float(sky(*shape).norm())
    for unit in (1e-9, 1e9):
        operator = given.operator.weighted(given.operator.weights / unit**2)
        found = net(mo.InverseProblem(operator, given.y, 1.0).by_normal()).final
        torch.testing.assert_close(found / unit, expected, rtol=1e-5, atol=1e-5 * float(expected.max()))


def test_the_shipped_network_fits_an_extended_source_to_the_noise() -> None:
    problem = observed(48, 64, x=extended(48, 64))
    off = problem.y - problem.operator(load("radio").double()(problem).final)
    assert float(torch.view_as_real(off).square().mean().sqrt()) < 1.2

"""Tiles with the halo that is said to be exact give the whole, to rounding, and with one pixel less they do not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import metaopt as mo
from metaopt import operators as ops
from metaopt.applications.imaging import denoise
from metaopt.priors import TotalVariation
from metaopt.problems.noise import noise_variance
from metaopt.scale import WindowedProblem, assemble, piece, step_halo, tiled, windows
from metaopt.scale.layout import Bands

from .networks import random_rim, randomize

CELLS = [{}, {"stride": 2}, {"kernels": [3, 1], "stride": 2, "scales": [2, 4]}, {"kernels": [1, 3], "scales": [3]}]
DOUBLE = torch.float64
SIDE = 17  # of a tile: no multiple of anything


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def kernel() -> Tensor:
    return random(3, 5, seed=7) / 15


def descent(steps: int = 3) -> mo.core.Unrolled:
    return mo.unroll(mo.Descent(mo.updates.Momentum(0.01)), steps)


def irim(**sizes: Any) -> mo.core.Unrolled:
    torch.manual_seed(0)
    net = mo.models.irim(hidden=4, layers=1, steps=2, **sizes).double()
    randomize(net, 0.15)
    return net


def proximal() -> mo.core.Unrolled:
    torch.manual_seed(0)
    net = mo.models.proximal_net(hidden=4, layers=3, steps=2).double()
    randomize(net, 0.15)
    for parameter in net.algorithm.step_size.parameters():
        torch.nn.init.zeros_(parameter)
    return net


def with_total_variation(algorithm: Any, **settings: Any) -> mo.core.Unrolled:
    return mo.unroll(algorithm(TotalVariation(3.0, inner=3), 0.01, **settings), 2)


def problem(operator: ops.Operator, *shape: int, **parts: Any) -> mo.InverseProblem:
    """Of x with that shape."""
    y = operator(random(*shape))
    return mo.InverseProblem(operator, y + 0.1 * random(*y.shape, seed=1), **{"noise": 0.1, **parts})


def noise(*shape: int) -> Tensor:
    return 0.1 + random(*shape, seed=2)


def complex_problem(operator: ops.Operator, *shape: int) -> mo.InverseProblem:
    return mo.InverseProblem(operator, torch.complex(random(*shape), random(*shape, seed=1)), 0.1)


def fourier() -> ops.Operator:
    return ops.Mask((random(53, 91) > 0.5).double()) @ ops.Fourier()


def seen_from(given: mo.InverseProblem) -> mo.InverseProblem:
    return mo.InverseProblem(given.operator, given.y, given.noise, guess=torch.tensor(0.5 + 0.1j, dtype=given.y.dtype))


def coordinatewise() -> mo.core.Unrolled:
    torch.manual_seed(0)
    net = mo.unroll(mo.Descent(mo.updates.CoordinatewiseLstm(hidden=3)), 2).double()
    randomize(net)
    return net


PLANE, ODD = (2, 1, 60, 84), (1, 1, 53, 91)
CASES = {
    "signal": lambda: (random_rim(dims=1), problem(ops.Identity(), 2, 1, 301)),
    "signal, stride 2": lambda: (random_rim(dims=1, stride=2), problem(ops.Mask(random(301)), 1, 1, 301)),
    "picture": lambda: (random_rim(), problem(ops.Mask(random(2, 1, 53, 91)), 2, 1, 53, 91)),
    "picture, stride 2, coarse": lambda: (random_rim(**CELLS[2]), problem(ops.Identity(), *ODD)),
    "volume": lambda: (
        random_rim(dims=3, kernels=[1], steps=1),
        problem(ops.Mask(random(19, 31, 23)), 1, 1, 19, 31, 23),
    ),
    "volume, stride 2": lambda: (
        random_rim(dims=3, kernels=[1], stride=2, steps=1),
        problem(ops.Identity(), 1, 1, 21, 30, 17),
    ),
    "complex": lambda: (random_rim(is_complex=True), complex_problem(ops.Mask(random(53, 91)), *ODD)),
    "parts of complex": lambda: (random_rim(is_complex=True, each_part=True), complex_problem(ops.Identity(), *ODD)),
    "blur": lambda: (descent(), problem(ops.Blur(kernel()), *ODD)),
    "blur, seen from a guess": lambda: (descent(), problem(ops.Blur(kernel()), *ODD, guess=0.5)),
    "blur, masked": lambda: (descent(), problem(ops.Mask(random(53, 91)) @ ops.Blur(kernel()), *ODD)),
    "bicubic": lambda: (random_rim(stride=2), problem(ops.bicubic_downsample((60, 84), 3, dtype=DOUBLE), *PLANE)),
    "box after blur": lambda: (
        descent(),
        problem(ops.Scaled(ops.box_downsample((60, 84), 4, dtype=DOUBLE), 2.0) @ ops.Blur(kernel()), *PLANE),
    ),
    "blur after bicubic": lambda: (
        descent(),
        problem(ops.Blur(kernel()).H @ ops.bicubic_downsample((60, 84), 2, dtype=DOUBLE), *PLANE),
    ),
    "noise a pixel": lambda: (random_rim(), problem(ops.Mask(random(53, 91)), *ODD, noise=noise(*ODD))),
    "noise a row": lambda: (random_rim(), problem(ops.Blur(kernel()), *ODD, noise=noise(1, 1, 53, 1))),
    "noise a pixel in units of it": lambda: (
        with_total_variation(mo.MapEstimation, unit=noise_variance),
        problem(ops.Identity(), *ODD, noise=noise(*ODD)),
    ),
    "invertible": lambda: (irim(), problem(ops.Identity(), *PLANE)),
    "invertible, stride 2": lambda: (irim(stride=2), problem(ops.Blur(kernel()), *PLANE)),
    "proximal net": lambda: (proximal(), problem(ops.Blur(kernel()), *ODD)),
    "untied": lambda: (mo.models.untie(random_rim()), problem(ops.Identity(), *ODD)),
    "without memory": lambda: (mo.models.without_memory(random_rim()), problem(ops.Identity(), *ODD)),
    "total variation, prox": lambda: (with_total_variation(mo.ProximalGradient), problem(ops.Blur(kernel()), *ODD)),
    "total variation, accelerated": lambda: (with_total_variation(mo.Fista), problem(ops.Identity(), *ODD)),
    "total variation, gradient": lambda: (
        with_total_variation(mo.MapEstimation, unit=noise_variance),
        problem(ops.Identity(), *ODD),
    ),
    "coordinates of an LSTM": lambda: (coordinatewise(), problem(ops.Blur(kernel()), *ODD)),
}
CONNECTED = {  # operators that connect all pixels
    "k-space": lambda: (random_rim(is_complex=True, stride=2), complex_problem(fourier(), *ODD)),
    "k-space from a guess": lambda: (random_rim(is_complex=True), seen_from(complex_problem(fourier(), *ODD))),
    "circular blur": lambda: (random_rim(**CELLS[2]), problem(ops.CircularBlur(kernel()), *ODD)),
    "circular blur, noise a pixel": lambda: (
        random_rim(),
        problem(ops.CircularBlur(kernel()), *ODD, noise=noise(*ODD)),
    ),
    "circular blur, accelerated": lambda: (
        with_total_variation(mo.Fista),
        problem(ops.CircularBlur(kernel()), *ODD),
    ),
    "circular blur, invertible": lambda: (irim(), problem(ops.CircularBlur(kernel()), *PLANE)),
}
TIGHT = ["signal", "picture", "volume", "complex", "blur", "blur, masked", "untied", "total variation, gradient"]


def whole(net: mo.core.Unrolled, given: mo.InverseProblem) -> Tensor:
    with torch.no_grad():
        return net(given).final


@pytest.mark.parametrize("name", CASES)
def test_tiles_give_the_whole(name: str) -> None:
    net, given = CASES[name]()
    expected = whole(net, given)
    assert expected.abs().std() > 0.01
    assert (tiled(net, given, SIDE) - expected).abs().max() <= 1e-12 * max(1, expected.abs().max())


@pytest.mark.parametrize("name", CONNECTED)
def test_a_gradient_of_all_pixels_is_computed_whole_and_the_network_in_tiles(name: str) -> None:
    net, given = CONNECTED[name]()
    expected = whole(net, given)
    assert expected.abs().std() > 0.01
    assert (tiled(net, given, SIDE) - expected).abs().max() <= 1e-12 * max(1, expected.abs().max())
    reach = mo.operators.reach.reach_of(net.algorithm)
    half = tuple((r - 1) // 2 for r in mo.operators.reach.per_axis(reach, 2, 0))
    assert (tiled(net, given, SIDE, halo=half) - expected).abs().max() > 1e-12


@pytest.mark.parametrize("name", TIGHT)
def test_one_pixel_less_of_halo_does_not(name: str) -> None:
    net, given = CASES[name]()
    halo, expected = step_halo(net, given.operator), whole(net, given)
    dims = given.y.ndim - 2
    sides = (halo,) * dims if isinstance(halo, int) else halo
    for axis, side in enumerate(sides):
        short = tuple(n - (i == axis) for i, n in enumerate(sides))
        assert side > 0
        assert (tiled(net, given, SIDE, halo=short) - expected).abs().max() > 1e-12, f"axis {axis} of {halo}"


@pytest.mark.parametrize("name", CASES)
def test_half_the_halo_does_not(name: str) -> None:
    """For those as well whose halo is a bound: it is no waste."""
    net, given = CASES[name]()
    halo, expected = step_halo(net, given.operator), whole(net, given)
    half = (halo - 1) // 2 if isinstance(halo, int) else tuple((n - 1) // 2 for n in halo)
    assert (tiled(net, given, SIDE, halo=half) - expected).abs().max() > 1e-12


def test_more_steps_reach_further() -> None:
    net, given = CASES["blur"]()
    for steps in (1, 5):
        expected = net(given, steps=steps).final
        assert (tiled(net, given, 7, steps=steps) - expected).abs().max() <= 1e-12
        assert step_halo(net, given.operator) == (2, 4)


def test_a_noise_level_a_sample_goes_with_every_tile() -> None:
    net, given = CASES["picture"]()
    given = mo.InverseProblem(given.operator, given.y, torch.tensor([0.05, 0.2], dtype=DOUBLE))
    assert (tiled(net, given, 16) - whole(net, given)).abs().max() <= 1e-12


def test_a_piece_holds_what_belongs_to_its_window() -> None:
    given = problem(ops.bicubic_downsample((60, 84), 3, dtype=DOUBLE), *PLANE, guess=random(*PLANE))
    part = piece(given, (slice(12, 30), slice(81, 84)))
    assert torch.equal(part.y, given.y[..., 4:10, 27:28])
    assert torch.equal(part.guess, given.guess[..., 12:30, 81:84])
    assert part.operator(part.guess).shape == part.y.shape


def test_windows_that_are_read_are_solved_in_trained_units() -> None:
    net = mo.models.load("denoise_grey").double()
    bright = 4000 * random(1, 1, 200, 130)
    given = mo.InverseProblem(ops.Identity(), bright, 400.0)
    read = WindowedProblem(lambda window: piece(given, window), (200, 130))
    expected = net(given, steps=2).final
    assert (tiled(net, read, 64, steps=2) - expected).abs().max() <= 1e-9 * 4000
    assert expected.max() > 1000


def test_the_error_of_a_smaller_halo_is_as_small_as_documented() -> None:
    from skimage import data

    net = mo.models.load("denoise_grey")
    picture = torch.as_tensor(data.camera()).float()[None, None, 128:256, 128:256] / 255
    noisy = picture + 25 / 255 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    given = mo.InverseProblem(ops.Identity(), noisy, 25 / 255)
    expected = whole(net, given)
    errors = [float(255 * (tiled(net, given, 64, halo=halo) - expected).abs().max()) for halo in (8, 16, 32, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.5
    assert errors[-1] <= 0.01


def test_memory_is_that_of_a_tile_and_of_two_halos_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = descent(), problem(ops.Blur(kernel()), 1, 1, 203, 91)
    seen, held = [], []
    step, drop = mo.Descent.step, Bands.drop

    def dropped(self: Bands, before: int) -> None:
        drop(self, before)
        held.append(len(self.tensors[0][0, 0]) if self.tensors[0] is not None else 0)

    monkeypatch.setattr(mo.Descent, "step", lambda self, p, s, k: seen.append(p.y.shape[-2:]) or step(self, p, s, k))
    monkeypatch.setattr(Bands, "drop", dropped)
    tiled(net, given, 10)
    assert max(h for h, _ in seen) <= 10 + 2 * 2
    assert max(w for _, w in seen) <= 10 + 2 * 4
    assert 0 < max(held) <= 2 * 2
    pixels = sum(h * w for h, w in seen)
    assert pixels <= 3 * (203 + 2 * 2 * 21) * (91 + 2 * 4 * 9)


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("shape", [(1, 150, 131), (2, 40, 203)])
def test_a_picture_in_tiles_is_the_whole(cell: dict[str, Any], shape: tuple[int, ...]) -> None:
    net, pixels = random_rim(**cell), random(*shape)
    at_once, pieces = (denoise(pixels, 20 / 255, net, tile=tile) for tile in (1000, 24))
    assert (at_once - pieces).abs().max() <= 1e-12
    assert at_once.std() > 0.01


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 24), min_size=1, max_size=3), st.integers(1, 12), st.integers(0, 9), st.integers(1, 5))
def test_a_windows_filter_is_the_filter(shape: list[int], size: int, halo: int, period: int) -> None:
    """A box filter of radius ``halo`` with zeros beyond the border, for any sizes."""
    assume(math.prod(-(-n // size) for n in shape) <= 200)  # windows; a large halo makes each slow
    values, dims = random(1, 1, *shape), len(shape)
    pool = (torch.nn.functional.avg_pool1d, torch.nn.functional.avg_pool2d, torch.nn.functional.avg_pool3d)[dims - 1]

    def blur(x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (halo, halo) * dims)
        return pool(padded, 2 * halo + 1, 1)

    pieces = assemble(lambda w: blur(values[(..., *w)]), shape, size, halo, period)
    torch.testing.assert_close(pieces, blur(values), rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 24), min_size=1, max_size=3), st.integers(1, 12), st.integers(0, 9), st.integers(1, 5))
def test_every_pixel_is_kept_once_and_windows_are_aligned(shape: list[int], size: int, halo: int, period: int) -> None:
    counts = torch.zeros(shape)
    for computed, kept in windows(shape, size, halo, period):
        counts[kept] += 1
        for c, k, n in zip(computed, kept, shape, strict=True):
            assert c.start % period == 0
            assert c.stop % period == 0 or c.stop == n
            assert c.start <= max(0, k.start - halo)
            assert c.stop >= min(n, k.stop + halo)
    assert bool((counts == 1).all())


def test_what_cannot_be_tiled_is_said() -> None:
    net, plane = descent(), random(*ODD)
    circular = mo.InverseProblem(ops.CircularBlur(kernel()), plane, 0.1)
    with pytest.raises(mo.MetaoptError, match="CircularBlur connects pixels however far apart"):
        tiled(net, WindowedProblem(lambda window: circular, (53, 91), circular.operator), 16)
    with pytest.raises(mo.MetaoptError, match="there is no CircularBlur of a window"):
        piece(circular, (slice(0, 16), slice(0, 16)))
    update = torch.nn.Identity()
    update.init = lambda x, context: ()
    unknown = mo.unroll(mo.Descent(update), 2)
    with pytest.raises(mo.MetaoptError, match="a step of Descent reaches; its update has none, so it cannot be tiled"):
        step_halo(unknown, ops.Identity())
    varied = problem(ops.Blur(kernel()), *ODD, noise=noise(*ODD))
    with pytest.raises(mo.MetaoptError, match="steps of MapEstimation are in a unit of it"):
        tiled(with_total_variation(mo.MapEstimation, unit=noise_variance), varied, 16)
    with pytest.raises(
        mo.MetaoptError, match="tiled needs problem to be an InverseProblem or a WindowedProblem, but got a tensor"
    ):
        tiled(net, plane, 16)
    with pytest.raises(mo.MetaoptError, match=r"\(3, 4\), but tiles are of"):
        tiled(net, mo.InverseProblem(ops.Identity(), random(3, 4)), 16)


def test_tiles_of_nothing_are_refused() -> None:
    for size, halo, period in ((0, 1, 1), (4, -1, 1), (4, 1, 0)):
        with pytest.raises(mo.MetaoptError, match="Tiles need a size and a period of at least 1"):
            list(windows((3, 3), size, halo, period))
    with pytest.raises(mo.MetaoptError, match=r"nothing to compute of a shape \(0, 5\)"):
        assemble(lambda _: torch.zeros(1), (0, 5), 4, 1)
    with pytest.raises(mo.MetaoptError, match="for 3 axes, but there are 2"):
        list(windows((3, 3), (4, 4, 4)))

"""Pieces of a picture, computed with a halo, are the picture computed whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.applications.pictures import denoise
from metaopt.applications.tiling import Tiling, tiled, tiling_for

CELLS = [{}, {"stride": 2}, {"kernels": [3, 1], "stride": 2, "scales": [2, 4]}, {"kernels": [1, 3], "scales": [3]}]


def machine(**cell: Any) -> mo.core.Unrolled:
    """Random weights, large ones, so that what is far away is seen if it is seen at all."""
    torch.manual_seed(0)
    net = mo.models.rim(hidden=4, steps=2, **cell).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    with torch.no_grad():
        for parameter in net.algorithm.update.module.head.parameters():
            parameter.mul_(0.1)  # or every pixel would be black or white
    return net


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("shape", [(1, 150, 131), (2, 40, 203)])
def test_tiles_with_the_machines_halo_give_the_whole(cell: dict[str, Any], shape: tuple[int, ...]) -> None:
    net, pixels = machine(**cell), torch.rand(shape, dtype=torch.float64)
    whole, pieces = (denoise(pixels, 20 / 255, net, tile=tile) for tile in (1000, 24))
    assert (whole - pieces).abs().max() <= 1e-12
    assert whole.std() > 0.01


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_nothing_beyond_the_reach_is_seen_and_something_near_it_is(cell: dict[str, Any]) -> None:
    net = machine(**cell)
    reach = 2 * net.algorithm.update.module.reach
    y = torch.rand(1, 1, 4 * reach, 8, dtype=torch.float64, requires_grad=True)
    pixel = net(mo.InverseProblem(mo.operators.Identity(), y, 0.1)).final[0, 0, 2 * reach, 4]
    (gradient,) = torch.autograd.grad(pixel, y)
    seen = gradient[0, 0].abs().amax(1).nonzero()[:, 0] - 2 * reach
    assert seen.abs().max() <= reach
    assert seen.abs().max() >= reach / 2, "a halo twice too wide would be a waste"


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(0, 9), st.integers(1, 5))
def test_a_windows_filter_is_the_filter(height: int, width: int, size: int, halo: int, cell: int) -> None:
    """A box filter of radius ``halo`` with zeros beyond the border, for any sizes."""
    picture = torch.rand(1, height, width, dtype=torch.float64)

    def blur(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 2 * halo + 1, 1, halo)

    pieces = tiled(lambda w: blur(picture[(slice(None), *w)]), (height, width), Tiling(size, halo, cell))
    torch.testing.assert_close(pieces, blur(picture), rtol=0, atol=1e-14)


def test_a_tiling_of_nothing_is_refused() -> None:
    for bad in ((0, 1, 1), (4, -1, 1), (4, 1, 0)):
        with pytest.raises(mo.MetaoptError, match="A tiling needs"):
            Tiling(*bad)
    with pytest.raises(mo.MetaoptError, match="nothing to compute of a picture of 0 x 5"):
        tiled(lambda _: torch.zeros(1), (0, 5), Tiling(4, 1))
    assert tiling_for(machine(stride=2), None, size=5).size == 6

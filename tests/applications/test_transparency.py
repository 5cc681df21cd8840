"""What is hidden under the alpha is filled from what is seen around it."""

from __future__ import annotations

import pytest
import torch

from metaopt.applications.transparency import fill_hidden


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 1), (2, 3), (16, 16), (13, 29)])
def test_a_picture_of_one_colour_stays_one_whatever_is_hidden_in_it(size: tuple[int, int]) -> None:
    alpha = (torch.rand(1, *size, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    alpha[..., 0, 0] = 0.5
    pixels = torch.where(alpha > 0, 0.25, torch.rand(3, *size))
    torch.testing.assert_close(fill_hidden(pixels, alpha), torch.full((3, *size), 0.25))


def test_visible_pixels_stay_and_hidden_ones_lie_between_their_neighbours() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 32, 32)
    alpha = torch.ones(1, 32, 32)
    alpha[..., 8:24, 8:24] = 0
    found = fill_hidden(torch.where(alpha > 0, ramp, 9.0), alpha)
    assert torch.equal(found[alpha > 0], ramp[alpha > 0])
    assert (found - ramp).abs().max() < 0.15


def test_where_all_or_nothing_is_visible_nothing_changes() -> None:
    pixels = torch.rand(3, 4, 5)
    for alpha in (None, torch.zeros(1, 4, 5), torch.ones(1, 4, 5)):
        assert fill_hidden(pixels, alpha) is pixels

"""The network that sees airways is what it says, learns, and is made again by its card."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import metaopt as mo
from metaopt.losses import branch_overlap
from metaopt.models import airway_network, load, save
from metaopt.networks import VCycle


def small(steps=1):
    torch.manual_seed(0)
    return airway_network([4, 6, 8], steps)


def ct(*shape):
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0)) * 400 - 600


def test_a_cycle_on_one_grid_is_two_residual_convolutions():
    torch.manual_seed(0)
    net, x = VCycle([3]), torch.randn(2, 3, 5, 6, 7)
    once = x + torch.relu(F.conv3d(x, net.before[0].weight, net.before[0].bias, padding=1))
    assert torch.allclose(net(x), once + torch.relu(F.conv3d(once, net.after[0].weight, net.after[0].bias, padding=1)))
    assert (net.reach, net.period) == (2, 1)


def test_a_cycle_keeps_odd_sizes_and_is_shifted_with_its_input():
    net = VCycle([2, 3, 4], dims=2).double()
    x = torch.randn(1, 2, 61, 47, dtype=torch.float64)
    whole, part, far = net(x), net(x[..., net.period :, :]), net.reach
    assert whole.shape == x.shape
    assert torch.allclose(whole[..., net.period + far :, :], part[..., far:, :])


def test_hounsfield_units_beyond_the_window_change_nothing():
    volume = ct(9, 10, 11)
    beyond = torch.where(volume > 300, 3000.0, torch.where(volume < -1100, -3024.0, volume))
    assert torch.equal(small()(volume).final, small()(beyond).final)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(9, 9, 9), torch.zeros(1, 2, 9, 9, 9), torch.zeros(1, 1, 9, 9, 9).double()], ids=str
)
def test_what_is_no_ct_is_refused(wrong):
    with pytest.raises(mo.MetaoptError, match="volumes of CT"):
        small()(wrong)


def test_its_card_makes_it_again(tmp_path):
    net, volume = small(2), ct(8, 9, 10)
    save(net, tmp_path / "a.safetensors")
    assert torch.equal(load(tmp_path / "a.safetensors")(volume).final, net(volume).final)


def test_it_learns_where_the_dark_is():
    net, volume = small(), ct(12, 12, 12)
    target = (F.avg_pool3d(volume, 3, 1, 1) < -700).float()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = branch_overlap(net(volume).final, target)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_a_millimetre_of_a_narrow_branch_counts_as_one_of_a_wide_branch():
    """What is lost of the Dice overlap by missing a branch depends on its length, and hardly on its section."""
    target, missed = torch.zeros(1, 1, 24, 40, 40), []
    target[..., 8:10, 8:10] = 1
    target[..., 26:31, 26:31] = 1
    sure = 40 * (target - 0.5)
    for where in ((slice(None), slice(6, 12), slice(6, 12)), (slice(None), slice(24, 33), slice(24, 33))):
        output = sure.clone()
        output[(0, 0, *where)] = -20
        missed.append(float(branch_overlap(output, target) - branch_overlap(sure, target)))
    plain = [1 - 2 * kept / (kept + 24 * 29) for kept in (24 * 25, 24 * 4)]
    assert 0.5 < missed[0] / missed[1] < 2
    assert plain[0] / plain[1] < 0.15, "by voxels the narrow one hardly counts"


def test_the_loss_of_a_perfect_answer_is_zero_and_of_its_opposite_large():
    target = torch.zeros(1, 1, 9, 9, 9)
    target[..., 3:6, 3:6] = 1
    assert float(branch_overlap(40 * (target - 0.5), target)) == pytest.approx(0, abs=1e-4)
    assert float(branch_overlap(40 * (0.5 - target), target)) > 10
    for shape in ((9, 9), (1, 1, 0, 3, 3)):
        with pytest.raises(mo.MetaoptError, match=r"volumes|average"):
            branch_overlap(torch.zeros(shape), torch.zeros(shape))

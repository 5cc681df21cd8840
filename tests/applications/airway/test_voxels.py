"""The mask of a tree is its lumen, of one part, and does not leak."""

from __future__ import annotations

from typing import Any

import pytest
import scipy.ndimage
import torch

import metaopt as mo
from metaopt.applications.airway import fill_airways
from metaopt.tasks.airways import AirwayTree

from .tubes import SHAPE, SPACING, forked, shares, straight

ndimage: Any = scipy.ndimage


def parts(mask: torch.Tensor) -> int:
    return int(ndimage.label(mask.numpy())[1])


def test_the_lumen_of_a_tree_is_filled():
    volume = shares(forked())
    mask = fill_airways(forked(), volume, SPACING, level=0.5)
    assert parts(mask) == 1
    # All of it, but for what the centre line itself passes.
    lumen = volume >= 0.5
    assert bool(mask[lumen].all())
    assert int((mask & ~lumen).sum()) < 10


def test_a_hole_in_a_wall_does_not_flood():
    volume = shares(forked())
    volume[16:22, 36:, 30:34] = 0.9  # through the wall of a branch into a field as clear as the lumen
    volume[:, 48:] = 0.9
    mask = fill_airways(forked(), volume, SPACING)
    assert parts(mask) == 1
    away = torch.stack(torch.meshgrid(*(1.5 * torch.arange(64.0) for _ in range(3)), indexing="ij"), -1)
    near = torch.full(SHAPE, torch.inf)
    for points, radius in forked().tubes:
        near = torch.minimum(near, torch.cdist(away.reshape(-1, 3), points).amin(1).reshape(SHAPE) / radius.max())
    assert float(near[mask].max()) < 1.5 + 0.9 / 2.6
    assert int(mask.sum()) < 1.6 * int(fill_airways(forked(), shares(forked()), SPACING).sum())


def test_a_gap_in_airwayness_is_bridged_by_the_centre_line():
    volume = shares(forked())
    volume[24:28] = 0.0
    mask = fill_airways(forked(), volume, SPACING)
    assert parts(mask) == 1
    assert bool(mask[:22].any())
    assert int(mask[25].sum()) <= 6  # two branches, a line each


def test_a_faint_branch_is_filled_by_half_of_its_own_airwayness():
    volume = shares(forked())
    faint = volume.clone()
    faint[:28] *= 0.3
    mask, full = fill_airways(forked(), faint, SPACING), fill_airways(forked(), volume, SPACING)
    assert int(mask[16:26].sum()) > 0.6 * int(full[16:26].sum())


def test_what_is_clear_but_not_joined_to_the_tree_stays_out():
    volume = shares(forked())
    volume[40, 34:36, 38] = 0.9  # within 1.5 radii of the trachea, beyond its wall
    volume[40, 34:36, 36:38] = 0.0
    assert not bool(fill_airways(forked(), volume, SPACING)[40, 34:36, 38].any())


def test_a_tree_outside_of_the_volume_is_refused():
    far = AirwayTree(torch.tensor([-1]), [straight((500.0, 0, 0), (510.0, 0, 0))], [torch.ones(16)])
    with pytest.raises(mo.MetaoptError, match="No centre line of the tree lies in the volume"):
        fill_airways(far, shares(forked()), SPACING)

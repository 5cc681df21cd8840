"""Lungs and trachea are found where they are, and what is no CT of a chest is called by its name."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from metaopt import MetaoptError
from metaopt.applications.airway.lungs import find_lungs, search_region

from .chests import AIR, PARENCHYMA, TISSUE, chest, overlap

plain = functools.cache(chest)


@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (1.0, 3.0, 2.5), (5.0, 1.6, 1.6)], ids=str)
def test_lungs_and_trachea_are_found_at_any_spacing(spacing):
    given = plain(spacing)
    found = find_lungs(given.volume, spacing)
    assert found.mask.dtype == found.trachea.dtype == torch.bool
    assert found.mask.shape == found.trachea.shape == given.volume.shape
    assert overlap(found.mask, given.lungs) > 0.9
    assert given.trachea[tuple(found.seed)]
    upper = slice(int(150 / spacing[0]), int(210 / spacing[0]))
    assert overlap(found.trachea[upper], given.trachea[upper]) > 0.8
    assert not (found.mask & found.trachea).any()


@pytest.mark.parametrize("dtype", [torch.int16, torch.float64])
def test_other_dtypes_of_the_same_values_give_the_same_lungs(dtype):
    volume = plain().volume.round()
    assert torch.equal(find_lungs(volume.to(dtype), (3, 3, 3)).mask, find_lungs(volume, (3, 3, 3)).mask)


def test_marks_outside_of_the_picture_change_nothing():
    volume = plain().volume.round()
    marked = volume.clone()
    marked[:, :6], marked[:, -3:] = -3024, -2000
    assert torch.equal(find_lungs(marked, (3, 3, 3)).mask, find_lungs(volume, (3, 3, 3)).mask)


def test_a_consolidation_within_a_lung_belongs_to_it():
    given = plain()
    z, y, x = torch.meshgrid(*(torch.arange(n) * 3.0 for n in given.volume.shape), indexing="ij")
    ball = (z - 60) ** 2 + (y - 100) ** 2 + (x - 200) ** 2 < 18**2
    volume = torch.where(ball, 20.0, given.volume)
    assert bool(given.lungs[ball].all())
    assert float(find_lungs(volume, given.spacing).mask[ball].float().mean()) > 0.95


def test_gas_in_the_stomach_is_no_lung():
    given = plain()
    z, y, x = torch.meshgrid(*(torch.arange(n) * 3.0 for n in given.volume.shape), indexing="ij")
    gas = ((z - 15) / 14) ** 2 + ((y - 100) / 40) ** 2 + ((x - 140) / 30) ** 2 < 1
    volume = torch.where(gas & ~given.lungs, AIR, given.volume)
    assert float(find_lungs(volume, given.spacing).mask[gas & ~given.lungs].float().mean()) < 0.1


def test_a_picture_cut_to_the_lungs_is_enough():
    given = plain()
    cut = given.volume[:, 15:52, 13:80]
    assert overlap(find_lungs(cut, given.spacing).mask, given.lungs[:, 15:52, 13:80]) > 0.85


def test_airways_are_looked_for_between_the_lungs_and_not_outside_of_the_body():
    given = plain()
    region = search_region(find_lungs(given.volume, given.spacing), given.spacing)
    low = given.bronchi.nonzero()[:, 0].min()
    assert bool(region[given.bronchi | given.trachea & (torch.arange(80) < 60)[:, None, None]].all()), low
    assert not region[:, :3].any() and not region[..., :3].any()


def _without_trachea():
    given = plain()
    return torch.where(given.trachea | given.bronchi, TISSUE, given.volume)


def _magnetic_resonance():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(plain().volume.shape, generator=generator)
    return (torch.where(plain().volume < -500, 20.0, 400.0) + 30 * noise).abs()


def _phantom():
    """A cylinder of water with two empty holes as wide as lungs."""
    return torch.where(plain().volume < -500, AIR, 0.0)


def _with(value):
    volume = plain().volume.clone()
    volume[3, 4, 5] = value
    return volume


HOSTILE = [
    (lambda: torch.full((20, 20, 20), 40.0), "All voxels of the CT are 40"),
    (lambda: plain().volume.clamp(min=-100), "no air"),
    (lambda: plain().volume + 1024, "subtract 1024"),
    (lambda: plain().volume - 1024, "add 1024"),
    (_magnetic_resonance, "no CT in Hounsfield units"),
    (lambda: (plain().volume - AIR) / 1040, "no CT in Hounsfield units"),
    (_without_trachea, "No trachea"),
    (lambda: plain().volume[:40], "No trachea"),
    (lambda: plain().volume.transpose(0, 2).contiguous(), "No trachea|no lungs"),
    (_phantom, "phantom"),
    (lambda: torch.where(plain().volume < -500, AIR, AIR), "All voxels"),
    (lambda: _with(float("nan")), "1 voxels of the CT are NaN"),
    (lambda: _with(float("inf")), "NaN or infinite"),
    (lambda: torch.zeros(0, 5, 5), "at least 8 voxels"),
    (lambda: plain().volume[:, 30], "a volume"),
    (lambda: plain().volume[None], "a volume"),
    (lambda: plain().volume > 0, "bool"),
    (lambda: plain().volume.to(torch.complex64), "complex"),
    (lambda: np.zeros((9, 9, 9)), "tensor"),
    (lambda: None, "tensor"),
    (lambda: torch.where(torch.rand(20, 20, 20) < 0.5, TISSUE, PARENCHYMA), "no lungs|no chest"),
]


@pytest.mark.parametrize(("make", "words"), HOSTILE)
def test_what_is_no_ct_of_a_chest_is_refused_in_a_sentence(make, words):
    with pytest.raises(MetaoptError, match=words):
        find_lungs(make(), (3, 3, 3))


@pytest.mark.parametrize(
    ("spacing", "words"), [(None, "missing"), ((1, 1), "three"), ((0, 1, 1), "positive"), ((0.05, 0.05, 0.05), "lungs")]
)
def test_a_spacing_that_cannot_be_is_refused(spacing, words):
    with pytest.raises(MetaoptError, match=words):
        find_lungs(plain().volume, spacing)

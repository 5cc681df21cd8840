"""Region growing fills what is connected with the seed, and stops before it leaks."""

from __future__ import annotations

import functools

import pytest
import torch
from scipy import ndimage

from metaopt import MetaoptError
from metaopt.applications.airway.growing import grow_region
from metaopt.applications.airway.lungs import find_lungs, search_region

from .chests import chest, overlap

plain = functools.cache(chest)
SEED = (65, 33, 47)


def _leaky(wall=-890.0, given=None):
    """A chest whose bronchi have a hole: there the wall is nearly as dark as the parenchyma."""
    given = plain() if given is None else given
    volume = given.volume.clone()
    around = torch.from_numpy(ndimage.binary_dilation(given.bronchi.numpy(), iterations=2))
    hole = around & ~given.bronchi & (volume > -500)
    hole[..., : 60 * hole.shape[2] // 94] = False  # at the far end of one bronchus
    volume[hole] = wall
    return volume


def test_at_a_given_threshold_it_is_the_connected_part_below_it():
    given = plain()
    found = grow_region(given.volume, SEED, given.spacing, threshold=-930.0)
    labels, _ = ndimage.label((given.volume < -930).numpy())
    assert torch.equal(found, torch.from_numpy(labels == labels[SEED]))


def test_without_a_threshold_it_finds_trachea_and_bronchi_and_no_lung():
    given = plain()
    airways = given.trachea | given.bronchi
    found = grow_region(given.volume, SEED, given.spacing)
    assert overlap(found, airways) > 0.95
    assert float((found & given.lungs).sum()) < 0.01 * float(airways.sum())


def test_it_stops_before_the_leak_of_a_thin_wall():
    given = plain()
    leaked = grow_region(_leaky(), SEED, given.spacing, threshold=-800.0)
    found = grow_region(_leaky(), SEED, given.spacing)
    assert float((leaked & given.lungs).sum()) > 0.4 * float(given.lungs.sum()), "the threshold matters"
    assert float((found & given.lungs).sum()) < 0.02 * float(given.lungs.sum())
    assert overlap(found, given.trachea | given.bronchi) > 0.9


def test_noise_that_reaches_beyond_the_threshold_of_a_leak_hides_no_airways():
    given = plain()
    volume = _leaky(-900.0) + 40 * torch.randn(given.volume.shape, generator=torch.Generator().manual_seed(0))
    assert float((volume[given.trachea] > -900).float().mean()) > 0.005, "some of the lumen is above the leak"
    found = grow_region(volume, SEED, given.spacing)
    assert overlap(found, given.trachea | given.bronchi) > 0.8
    assert float((found & given.lungs).sum()) < 0.02 * float(given.lungs.sum())


def test_where_any_threshold_leaks_for_noise_it_grows_in_the_blurred_ct():
    given = chest((1.5, 1.5, 1.5))
    volume = _leaky(-860.0, given) + 90 * torch.randn(given.volume.shape, generator=torch.Generator().manual_seed(0))
    seed = (130, 66, 93)
    volume[seed] = -1000.0
    leaked = grow_region(volume, seed, given.spacing, threshold=-888.0)  # above it is an eighth of the lumen
    found = grow_region(volume, seed, given.spacing)
    assert float((leaked & given.lungs).sum()) > 0.1 * float(given.lungs.sum())
    assert float((found & given.lungs).sum()) < 0.02 * float(given.lungs.sum())
    assert overlap(found, given.trachea | given.bronchi) > 0.7


def test_within_a_mask_it_is_the_same_but_for_what_lies_outside():
    given = plain()
    region = search_region(find_lungs(given.volume, given.spacing), given.spacing)
    whole, part = (grow_region(given.volume, SEED, given.spacing, within=w) for w in (None, region))
    assert torch.equal(part, whole & region) or overlap(part, whole & region) > 0.99
    assert not (part & ~region).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": (65, 33)}, "three whole numbers"),
        ({"seed": (65, 33, 999)}, "three whole numbers within"),
        ({"seed": (65.5, 33, 47)}, "three whole numbers"),
        ({"seed": None}, "seed"),
        ({"seed": (10, 33, 47)}, "no air around the seed"),
        ({"seed": (10, 33, 47), "threshold": -900.0}, "not below the threshold"),
        ({"seed": (40, 33, 25)}, "not in the trachea"),
        ({"within": torch.ones(3, 3, 3, dtype=torch.bool)}, "share one grid"),
        ({"within": torch.zeros(80, 67, 94, dtype=torch.bool)}, "empty"),
        ({"volume": plain().volume + 1024}, "subtract 1024"),
        ({"spacing": None}, "spacing is missing"),
        ({"threshold": "dark"}, "threshold"),
        ({"most": 0.0}, "most"),
    ],
)
def test_what_cannot_be_grown_is_refused(change, words):
    with pytest.raises(MetaoptError, match=words):
        grow_region(**{"volume": plain().volume, "seed": SEED, "spacing": (3.0, 3.0, 3.0)} | change)

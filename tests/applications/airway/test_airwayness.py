"""Airwayness is high in dark tubes, computed piece by piece as at once, and refuses what it cannot see."""

from __future__ import annotations

import functools
import importlib

import pytest
import torch

import metaopt as mo
from metaopt import MetaoptError
from metaopt.applications.airway import airwayness as seen
from metaopt.applications.airway import find_lungs
from metaopt.applications.airway.tubeness import eigenvalues, tubeness
from metaopt.applications.airway.wide import wide_airways
from metaopt.models import airway_network
from metaopt.operators.reach import reach_of

from .chests import chest

plain = functools.cache(chest)
module = importlib.import_module("metaopt.applications.airway.airwayness")  # the function has its name


@functools.cache
def lungs():
    return find_lungs(plain().volume, plain().spacing)


def _small():
    torch.manual_seed(0)
    return airway_network([4, 6, 8]).eval()


def _tube(radius, spacing):
    """A straight, dark tube in a wall, in parenchyma, along a diagonal."""
    z, y, x = torch.meshgrid(*(torch.arange(0, 24.1, s) - 12 for s in spacing), indexing="ij")
    along = torch.tensor([1.0, 1.0, 0.5]) / 1.5
    places = torch.stack([z, y, x], -1)
    away = (places - (places @ along)[..., None] * along).norm(dim=-1)
    return torch.where(away < radius, -995.0, torch.where(away < radius + 1.5, 0.0, -860.0)), away


@pytest.mark.parametrize("radius", [1.2, 2.0, 4.0])
@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (1.25, 0.7, 0.7)], ids=str)
def test_tubeness_is_high_in_the_middle_of_tubes_of_all_radii_and_zero_outside(radius, spacing):
    volume, away = _tube(radius, spacing)
    found = tubeness(volume, torch.ones(volume.shape, dtype=torch.bool), spacing)
    middle = tuple(slice(round(4 / s), -round(4 / s)) for s in spacing)  # away from the ends of the tube
    found, away = found[middle], away[middle]
    assert float(found[away < 0.4 * radius].mean()) > 0.8
    assert float(found[away > radius + 3].max()) < 0.05
    assert bool((found >= 0).all()) and bool((found <= 1).all())


def test_tubeness_sees_neither_bright_tubes_nor_dark_sheets():
    bright = torch.where(_tube(2.0, (0.8, 0.8, 0.8))[1] < 2, 40.0, -860.0)
    sheet = torch.full((30, 30, 30), -860.0)
    sheet[:, 12:18] = 0.0
    sheet[:, 14:16] = -995.0
    for volume in (bright, sheet):
        where = torch.zeros(volume.shape, dtype=torch.bool)
        where[8:22, 8:22, 8:22] = True
        assert float(tubeness(volume, where, (0.8, 0.8, 0.8)).max()) < 0.3


def test_eigenvalues_are_those_of_the_matrices():
    matrices = torch.randn(200, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrices = torch.cat([matrices + matrices.mT, torch.eye(3).double()[None], torch.zeros(1, 3, 3).double()])
    found = eigenvalues(*(matrices[:, i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))))
    assert torch.allclose(torch.stack(found, 1), torch.linalg.eigvalsh(matrices).flip(1), atol=1e-6)


def test_airwayness_is_zero_outside_of_where_airways_can_be():
    found = seen(plain().volume, lungs(), plain().spacing, "tubeness")
    assert found.shape == plain().volume.shape and found.dtype == torch.float32
    assert float(found[:, :4].max()) == float(found[..., -4:].max()) == 0.0
    assert bool((found >= 0).all()) and bool((found <= 1).all())
    where = torch.rand(20, 20, 20) < 0.5
    assert torch.equal(module.seen_by(_small(), torch.zeros(20, 20, 20), where, (0.7, 0.7, 0.7)) > 0, where)


def test_tubeness_of_a_chest_is_higher_in_the_bronchi_than_in_the_lungs():
    given = plain()
    found = seen(given.volume, None, given.spacing, "tubeness")
    middle = given.bronchi & ~given.trachea
    assert float(found[middle].mean()) > 5 * float(found[given.lungs].mean())


def test_slabs_give_what_the_whole_gives(monkeypatch):
    volume = torch.randn(50, 21, 18, generator=torch.Generator().manual_seed(1)) * 300 - 600
    where, net = torch.ones(volume.shape, dtype=torch.bool), _small()
    whole = net(volume[None, None]).final[0, 0].sigmoid().detach()
    monkeypatch.setattr(module, "SLABS", {False: 8, True: 8})
    for short, tolerance in ((False, 1e-6), (True, 2e-2)):
        monkeypatch.setattr(module, "computes_bfloat16", lambda short=short: short)
        assert torch.allclose(module.seen_by(net, volume, where, (0.7, 0.7, 0.7)), whole, atol=tolerance)


def test_what_is_far_from_the_voxels_that_are_asked_for_changes_nothing(monkeypatch):
    monkeypatch.setattr(module, "computes_bfloat16", lambda: False)
    computed = []

    def look(_, inputs):
        computed.append(inputs[0].shape[2:].numel())

    net = _small()
    volume = torch.randn(61, 67, 93, generator=torch.Generator().manual_seed(1)) * 300 - 600
    where = torch.zeros(volume.shape, dtype=torch.bool)
    where[3:9, 30:37, 61:70] = True
    whole = net(volume[None, None]).final[0, 0].sigmoid().detach() * where
    net.register_forward_pre_hook(look)
    assert torch.allclose(module.seen_by(net, volume, where, (0.7, 0.7, 0.7)), whole, atol=1e-6)
    assert sum(computed) < volume.numel()


def test_the_halo_is_as_far_as_the_network_sees_and_no_farther():
    net = _small().double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()  # so that nothing is cut off or cancels
    volume = torch.zeros(1, 1, 96, 1, 1, dtype=torch.float64)
    changed = volume.clone()
    changed[:, :, 47] = 100.0
    with torch.no_grad():
        seen_at = (net(volume).final - net(changed).final).flatten().nonzero()[:, 0]
    reach = 1 + reach_of(net.algorithm.refine)
    far = max(47 - int(seen_at[0]), int(seen_at[-1]) - 47)
    assert far <= reach <= far + net.algorithm.refine(0).period


@pytest.mark.parametrize("spacing", [(5.0, 0.7, 0.7), (1.3, 0.3, 0.3), (0.7, 0.7, 2.0)], ids=str)
def test_any_spacing_is_brought_to_what_the_network_knows_and_back(spacing):
    asked = []

    def look(_, inputs):
        asked.append(inputs[0].shape[2:])

    net = _small()
    net.register_forward_pre_hook(look)
    volume = torch.full((14, 20, 18), -800.0)
    found = module.seen_by(net, volume, torch.ones(volume.shape, dtype=torch.bool), spacing)
    assert found.shape == volume.shape
    for n, size, made in zip(volume.shape, spacing, asked[0], strict=True):
        assert module.FINEST <= n * size / made <= module.COARSEST


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "magic"}, "one of network, tubeness"),
        ({"lungs": 3}, "Lungs"),
        ({"spacing": (3, 3)}, "three"),
        ({"net": torch.nn.Conv3d(1, 1, 3)}, "Unrolled"),
        ({"net": mo.unroll(mo.Ista(torch.eye(3), 0.1), 1)}, "AirwayNetwork"),
        ({"volume": torch.full((20, 20, 20), -800.0)}, "All voxels"),
        ({"volume": torch.cat([plain().volume, plain().volume])}, "share one grid"),
        ({"volume": plain().volume / 1000}, "Hounsfield"),
    ],
)
def test_what_cannot_be_seen_is_refused(change, words):
    given = {"volume": plain().volume, "lungs": lungs(), "spacing": (3.0, 3.0, 3.0), "net": _small()}
    with pytest.raises(MetaoptError, match=words):
        seen(**given | change)


def test_the_widest_airways_are_grown_from_the_trachea_and_are_certain():
    ct = plain()
    wide = wide_airways(ct.volume, lungs(), ct.spacing)
    assert bool(wide[lungs().trachea].all())
    assert float(wide[ct.bronchi].float().mean()) > 0.9
    narrower = wide_airways(ct.volume, lungs(), ct.spacing, 7.5)  # the bronchi have a radius of 6 mm, the trachea 8.5
    assert bool(narrower[lungs().trachea].all())
    assert float(narrower[ct.bronchi & ~ct.trachea].float().mean()) < 0.3
    found = seen(ct.volume, lungs(), ct.spacing, net=_small())
    assert bool((found[wide] == 1).all())
    assert float(found[~wide].max()) < 1


def test_where_growing_leaks_the_trachea_alone_is_certain():
    ct = plain()
    leaking = torch.where(lungs().mask, ct.volume.min(), ct.volume)
    assert torch.equal(wide_airways(leaking, lungs(), ct.spacing), lungs().trachea)

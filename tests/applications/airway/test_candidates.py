"""Candidate nodes lie on the centre lines of tubes, with their radii and directions."""

from __future__ import annotations

import math

import pytest
import torch

import metaopt as mo
from metaopt.applications.airway import find_candidates
from metaopt.tasks.airways import fill_tubes, node_parents

from .tubes import RADII, SHAPE, SPACING, forked, shares, straight


def test_nodes_of_a_forked_tube_have_its_places_radii_and_directions():
    tree, nodes = forked(), find_candidates(shares(forked()), SPACING)
    found = node_parents(tree, nodes.mean[:, :3], slack=1.0)
    clear = nodes.airwayness > 0.6
    assert bool((found.branch[clear] >= 0).all())
    for number, radius in enumerate(RADII):
        on = (found.branch == number) & clear
        ends = torch.stack([points[-1] for points in tree.points] + [tree.points[0][0]])
        inner = on & (torch.cdist(nodes.mean[:, :3], ends).amin(1) > 10)
        assert int(on.sum()) >= 5
        assert float((nodes.mean[inner, 3] - radius).abs().max()) < 0.75
        line = torch.nn.functional.normalize(tree.points[number][-1] - tree.points[number][0], dim=0)
        assert float((nodes.mean[inner, 4:] @ line).abs().min()) > math.cos(math.radians(15))


@pytest.mark.parametrize("radius", [1.0, 1.7, 3.0, 6.0])
@pytest.mark.parametrize("amplitude", [1.0, 0.4])
def test_the_radius_does_not_depend_on_how_clear_a_tube_is(radius, amplitude):
    line = straight((5.0, 40, 41), (75.0, 42, 38))
    spacing = (0.9, 0.7, 0.7)
    volume = amplitude * fill_tubes([(line, torch.full((16,), radius))], (90, 110, 110), spacing)
    nodes = find_candidates(volume, spacing)
    middle = (nodes.mean[:, 0] > 15) & (nodes.mean[:, 0] < 65) & (nodes.airwayness > 0.6 * amplitude)
    assert int(middle.sum()) >= 6
    assert float((nodes.mean[middle, 3] - radius).abs().max()) < 0.35
    assert float((nodes.airwayness[middle] - amplitude).abs().max()) < 0.25


def test_nodes_keep_their_distance_and_the_strongest_stay():
    every = find_candidates(shares(forked()), SPACING, apart=3.0)
    few = find_candidates(shares(forked()), SPACING, apart=3.0, most=10)
    assert len(few.mean) == 10
    assert torch.equal(few.airwayness, every.airwayness[:10])
    distance = torch.cdist(every.mean[:, :3], every.mean[:, :3]) + 10 * torch.eye(len(every.mean))
    assert float(distance.min()) > 2.0  # smoothing moves them a little


def test_a_volume_that_is_shifted_gives_nodes_that_are_shifted():
    volume = shares(forked())
    moved = torch.zeros(70, 66, 64)
    moved[4:68, 2:66] = volume
    a, b = find_candidates(volume, SPACING), find_candidates(moved, SPACING)
    shift = torch.tensor([6.0, 3.0, 0.0])
    clear = a.airwayness > 0.7
    nearest = torch.cdist(a.mean[clear, :3] + shift, b.mean[:, :3]).amin(1)
    assert float(nearest.median()) < 0.75


def test_without_airways_there_is_no_node():
    assert len(find_candidates(torch.zeros(SHAPE), SPACING).mean) == 0


def test_a_sheet_is_no_tube():
    sheet = torch.zeros(SHAPE)
    sheet[:, 30:33] = 1.0
    nodes = find_candidates(sheet, SPACING)
    inside = ((nodes.mean[:, :3] > 12) & (nodes.mean[:, :3] < 80)).all(1)
    assert int(inside.sum()) == 0


def test_hounsfield_units_are_refused_as_airwayness():
    with pytest.raises(mo.MetaoptError, match="from 0 to 1, but this one is from -1e\\+03"):
        find_candidates(torch.full(SHAPE, -1000.0), SPACING)


def test_a_missing_spacing_is_refused():
    with pytest.raises(mo.MetaoptError, match="spacing is missing"):
        find_candidates(torch.zeros(SHAPE), None)

"""From airwayness to a labelled tree and a mask, by every method on the same graph."""

from __future__ import annotations

import pytest
import torch

import metaopt as mo
from metaopt.applications.airway import airway_graph, find_candidates, refine, refinement, segment_airways
from metaopt.applications.airway.segment import METHODS, threshold_airways
from metaopt.tasks import tree_edges
from metaopt.tasks.airways import node_parents

from .tubes import RADII, SHAPE, SPACING, forked, shares

AIR = torch.full(SHAPE, -900.0)
UNTRAINED = {"mfn", "mfn3", "bp", "lbp"}  # with potentials set by hand


def clear_and_not() -> torch.Tensor:
    """The forked tube with blobs at some distance and noise in front of it."""
    volume = shares(forked())
    generator = torch.Generator().manual_seed(0)
    lines = torch.cat(list(forked().points))
    for place in 8 + 48 * torch.rand(20, 3, generator=generator):
        if float((lines - 1.5 * place).norm(dim=1).min()) > 14:
            volume[tuple(slice(p, p + 2) for p in place.long().tolist())] = 0.5
    return (0.9 * volume + 0.05 * torch.rand(SHAPE, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("method", [*sorted(UNTRAINED), "mst"])
@pytest.mark.filterwarnings("ignore:This package has no weights")
def test_a_forked_tube_is_found_with_its_branches_generations_and_radii(method):
    net = refinement(method, trained=False) if method in UNTRAINED else None
    found = segment_airways(AIR, SPACING, method, clear_and_not(), net=net)
    assert found.tree.parent.tolist() == [-1, 0, 0]
    assert found.tree.generation.tolist() == [0, 1, 1]
    first = int(found.tree.points[1][-1][1] < 48)  # which of the two leads to larger y
    order = [0, 1 + first, 2 - first]
    for number, (radius, true) in zip(order, zip(RADII, forked().tubes, strict=True), strict=True):
        assert float(found.tree.mean_radius[number]) == pytest.approx(radius, abs=1.0)
        assert float((found.tree.points[number][-1] - true[0][-1]).norm()) < 6
    lumen = shares(forked()) >= 0.5
    assert 2 * int((found.mask & lumen).sum()) > 0.9 * int(found.mask.sum() + lumen.sum())
    assert any("3 branches were found" in note and "generation 1" in note for note in found.notes)


def test_the_threshold_gives_a_measured_mask():
    found = segment_airways(AIR, SPACING, "threshold", clear_and_not())
    assert len(found.tree) == 3
    assert found.probability is None
    assert bool((found.mask == (threshold_airways(clear_and_not()))).all())


def test_a_threshold_with_hysteresis_keeps_the_largest_part_that_is_clear_somewhere():
    volume = torch.zeros(3, 3, 20)
    volume[1, 1, :9], volume[1, 1, 10:13], volume[1, 1, 14:] = 0.35, 0.4, 0.31
    volume[1, 1, 11], volume[1, 1, 16] = 0.9, 0.8
    assert threshold_airways(volume)[1, 1].nonzero()[:, 0].tolist() == list(range(14, 20))


def test_progress_is_told():
    said: list[str] = []
    segment_airways(AIR, SPACING, "mst", clear_and_not(), progress=said.append)
    assert len(said) == 3
    assert said[1].startswith("judging the edges of")


def test_a_tube_alone_is_said_to_be_a_trachea_alone():
    volume = shares(forked())
    volume[:34] = 0.0
    notes = segment_airways(AIR, SPACING, "mst", volume).notes
    assert "Only a trachea was found, without bronchi." in notes
    assert any(note.startswith("Only ") and "candidate nodes were found" in note for note in notes)


@pytest.mark.parametrize("method", ["mfn3", "mst", "threshold"])
def test_without_airways_nothing_is_invented(method):
    with pytest.raises(mo.MetaoptError, match=r"There is no trachea to begin|there are no airways to be seen"):
        segment_airways(AIR, SPACING, method, torch.full(SHAPE, 0.02))


def test_noise_alone_gives_no_tree():
    noise = 0.25 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    with pytest.raises(mo.MetaoptError, match="There is no trachea"):
        segment_airways(AIR, SPACING, "mst", noise)


def test_an_unknown_method_and_airwayness_of_another_shape_are_refused():
    with pytest.raises(mo.MetaoptError, match="no method 'unet' to find airways; there are gnn, mfn, mfn3, bp, lbp"):
        segment_airways(AIR, SPACING, "unet", shares(forked()))
    with pytest.raises(mo.MetaoptError, match="has \\(4, 4, 4\\) for \\(64, 64, 64\\)"):
        segment_airways(AIR, SPACING, "mst", torch.zeros(4, 4, 4))
    assert set(METHODS) >= {"gnn", "mfn", "bp", "mst", "threshold", "grow"}


def test_one_node_is_no_graph():
    nodes = find_candidates(shares(forked()), SPACING, most=1)
    with pytest.raises(mo.MetaoptError, match="at least 2 nodes, but this airwayness gave 1"):
        airway_graph(nodes, shares(forked()), SPACING)


def test_opposite_edges_have_the_same_features():
    volume = clear_and_not()
    graph = airway_graph(find_candidates(volume, SPACING), volume, SPACING)
    first, second = graph.opposite.T
    assert 2 * len(first) == graph.edge_index.shape[1]
    torch.testing.assert_close(graph.pairs[first], graph.pairs[second])


def test_hand_set_potentials_find_edges_of_the_tree():
    volume = clear_and_not()
    nodes = find_candidates(volume, SPACING)
    graph = airway_graph(nodes, volume, SPACING)
    real = tree_edges(graph.edge_index, node_parents(forked(), nodes.mean[:, :3]).parent)
    score = refine(graph, net=refinement("mfn3", trained=False))
    assert float(score[real > 0].mean()) > float(score[real == 0].mean()) + 2

"""A labelled tree has the probable edges, prunes what is improbable and numbers generations from the trachea."""

from __future__ import annotations

import pytest
import torch

import metaopt as mo
from metaopt.applications.airway import AirwayNodes, find_root, labelled_tree
from metaopt.problems import both_directions

# A trachea of nodes 0 to 3, a fork at 3 into 4-5-6 and 7-8-9, a spur 10 at 1, and a part 11-12 beyond a gap after 6.
PLACES = [
    *((80.0, 0, 0), (70.0, 0, 0), (60.0, 0, 0), (50.0, 0, 0)),
    *((42.0, 6, 0), (34.0, 12, 0), (26.0, 18, 0)),
    *((42.0, -6, 0), (34.0, -12, 0), (26.0, -18, 0)),
    *((70.0, 0, 5.5), (14.0, 24, 0), (8.0, 30, 0)),
]
EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (3, 7), (7, 8), (8, 9), (1, 10), (6, 11), (11, 12)]
RADIUS = [6.0] * 4 + [3.0] * 6 + [2.0] * 3


def nodes() -> AirwayNodes:
    mean = torch.cat([torch.tensor(PLACES), torch.tensor(RADIUS)[:, None], torch.tensor([[1.0, 0, 0]] * 13)], dim=1)
    return AirwayNodes(mean, torch.full((13, 7), 0.1), torch.ones(13))


def graph(**gap: float) -> tuple[torch.Tensor, torch.Tensor]:
    edges = both_directions(torch.tensor(EDGES).T)
    score = dict.fromkeys(EDGES, 3.0) | {(6, 11): gap.get("gap", 3.0)}
    return edges, torch.tensor([score.get((a, b), score.get((b, a), 0.0)) for a, b in edges.T.tolist()])


def test_branches_have_parents_generations_lengths_and_radii():
    found = labelled_tree(nodes(), *graph(), root=0)
    tree = found.tree
    assert tree.parent.tolist() == [-1, 0, 0]
    assert tree.generation.tolist() == [0, 1, 1]
    longer = int(tree.length[1:].argmax()) + 1
    assert tree.length[0] == pytest.approx(30, abs=0.01)
    assert tree.length[longer] == pytest.approx(30 + (12**2 + 6**2) ** 0.5 + 72**0.5, abs=0.5)
    assert float(tree.radius[1][0]) == 3.0  # its own, not that of the trachea at whose end it begins
    assert torch.equal(tree.points[longer][0], tree.points[0][-1])
    torch.testing.assert_close(found.probability, torch.full((3,), float(torch.sigmoid(torch.tensor(3.0)))))


def test_a_gap_is_bridged_for_what_lies_beyond_and_not_for_less():
    reach = {gap: float(labelled_tree(nodes(), *graph(gap=gap), root=0).tree.length.max()) for gap in (-1.5, -6.0)}
    assert reach[-1.5] > 40
    assert reach[-6.0] < 31  # below the least probability
    edges, log_odds = graph(gap=-2.0)
    log_odds[(edges == 12).any(0)] = 0.5  # beyond the gap it is worth less than the gap costs
    assert float(labelled_tree(nodes(), edges, log_odds, root=0).tree.length.max()) < 31


def test_what_hardly_leaves_the_lumen_is_no_branch():
    wide = nodes()
    wide.mean[1, 3] = 2.0  # now node 10 is 3.5 mm outside of the lumen
    assert len(labelled_tree(wide, *graph(), root=0).tree) == 5
    assert len(labelled_tree(nodes(), *graph(), root=0).tree) == 3


def test_the_root_is_the_highest_of_the_wide_nodes():
    found = nodes()
    found.mean[12, 0] = 200.0
    assert find_root(found) == 0
    mask = torch.zeros(90, 3, 3, dtype=torch.bool)
    mask[:75] = True
    assert find_root(found, mask, (1, 1, 1)) == 1


def test_without_a_clear_node_there_is_no_trachea():
    faint = nodes()._replace(airwayness=torch.full((13,), 0.2))
    with pytest.raises(mo.MetaoptError, match=r"13 candidate nodes were found, but none .* clearest has 0.20"):
        find_root(faint)


def test_improbable_edges_give_no_tree_but_a_sentence():
    edges, log_odds = graph()
    with (
        pytest.warns(mo.MetaoptWarning, match="No edge of a probability"),
        pytest.raises(mo.MetaoptError, match="No edge of the trachea at \\[80, 0, 0\\] mm is probable enough"),
    ):
        labelled_tree(nodes(), edges, log_odds - 9, root=0)


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        (torch.zeros(2, 0, dtype=torch.long), "no edge"),
        (torch.tensor([[0, 1], [1, 1]]), "self-loops"),
        (torch.tensor([[0, 1], [1, 13]]), "names node 13"),
        (torch.tensor([[0, -1], [1, 2]]), "names node -1"),
        (torch.tensor([[0, 0], [1, 1]]), "comes twice"),
    ],
)
def test_graphs_that_are_none_are_refused(edges, words):
    with pytest.raises(mo.MetaoptError, match=words):
        labelled_tree(nodes(), edges, torch.zeros(edges.shape[1]), root=0)

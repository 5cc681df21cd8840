"""Pieces of a larynx beside the trachea are no generations of an airway tree."""

from __future__ import annotations

import pytest
import torch

import metaopt as mo
from metaopt.applications.airway import below_larynx, measure_file
from metaopt.data.formats.ct_grid import grid_of
from metaopt.data.formats.ct_mask import write_mask
from metaopt.tasks.airways import AirwayTree, fill_tubes

from .trees import AFFINE, CARINA, SHAPE, SPACING, TOP, line, tree


def with_pieces(pieces: list[tuple[float, float]]) -> AirwayTree:
    """The tree of the other tests, whose trachea is cut where side branches of so many mm (length, radius) leave it."""
    whole = tree()
    heights = torch.linspace(TOP[0], CARINA[0], len(pieces) + 2)[1:-1].tolist()
    cuts = [TOP, *((h, *TOP[1:]) for h in heights), CARINA]
    parent, points, radius = [], [], []
    for number in range(len(cuts) - 1):
        parent.append(number - 1)
        points.append(line(cuts[number], cuts[number + 1]))
        radius.append(torch.full((40,), 5.0))
    trunk = len(parent) - 1
    for number, (length, wide) in enumerate(pieces):
        begin = cuts[number + 1]
        parent.append(number)
        points.append(line(begin, (begin[0], begin[1] + length, begin[2])))
        radius.append(torch.full((40,), wide))
    shift = len(parent) - 1
    parent += [trunk if p == 0 else int(p) + shift for p in whole.parent[1:].tolist()]
    return AirwayTree(torch.tensor(parent), [*points, *whole.points[1:]], [*radius, *whole.radius[1:]])


def test_side_branches_above_the_carina_are_left_out_and_the_trachea_is_one_branch():
    found = below_larynx(with_pieces([(3.0, 1.0), (2.0, 2.0)]))
    assert found.dropped == 2
    assert found.tree.parent.tolist() == tree().parent.tolist()
    assert found.tree.generation.tolist() == [0, 1, 1, 2, 2]
    torch.testing.assert_close(found.tree.length, tree().length)
    torch.testing.assert_close(found.tree.points[0][[0, -1]], tree().points[0][[0, -1]])
    assert bool((found.tree.points[0].diff(dim=0).norm(dim=1) > 0).all())


def test_what_was_known_of_the_pieces_is_averaged_over_their_length():
    given = with_pieces([(3.0, 1.0)])
    found = below_larynx(given)
    values = torch.arange(len(given)).float()
    trachea = (0 * given.length[0] + 1 * given.length[1]) / given.length[:2].sum()
    torch.testing.assert_close(found.mean(values, given.length), torch.tensor([float(trachea), 3.0, 4.0, 5.0, 6.0]))


def test_a_bronchus_that_leaves_the_trachea_stays():
    for bronchus in ((40.0, 1.5), (2.0, 2.6)):  # much beyond it, or wide
        found = below_larynx(with_pieces([bronchus]))
        assert found.dropped == 0
        assert int(found.tree.generation.max()) == 3


def test_a_tree_without_a_carina_stays_as_it_is():
    lone = AirwayTree(torch.tensor([-1]), [line(TOP, CARINA)], [torch.full((40,), 5.0)])
    spur = AirwayTree(
        torch.tensor([-1, 0, 0]),
        [line(TOP, CARINA), line(CARINA, (0.0, 24.0, 32.0)), line(CARINA, (34.0, 25.0, 32.0))],
        [torch.full((40,), r) for r in (5.0, 4.0, 1.0)],
    )
    for given in (lone, spur):
        found = below_larynx(given)
        assert found.tree is given
        assert found.dropped == 0


def test_a_tree_without_a_larynx_keeps_its_branches():
    found = below_larynx(tree())
    assert found.made_of == [[0], [1], [2], [3], [4]]
    assert found.dropped == 0


def test_a_mask_with_a_neck_is_measured_without_it_and_says_so(tmp_path):
    neck, shape = with_pieces([(5.5, 1.0)]), tuple(2 * n for n in SHAPE)  # twice as long, and as wide as it was
    tubes = [(2 * points, radius) for points, radius in neck.tubes]
    write_mask(tmp_path / "mask.nii.gz", fill_tubes(tubes, shape, SPACING) > 0.5, grid_of(AFFINE, shape[::-1]))
    with pytest.warns(mo.MetaoptWarning, match="1 side branches were left out"):
        found = measure_file(tmp_path / "mask.nii.gz", tmp_path / "table.csv")
    assert found.parent.tolist() == tree().parent.tolist()
    assert float(found.length[0]) == pytest.approx(2 * float(tree().length[0]), abs=5)
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + len(tree())

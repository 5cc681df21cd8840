from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from metaopt import MetaoptError
from metaopt.applications.airway.measures import dice_of_edges, evaluate_airways
from metaopt.tasks.airways import AirwayTree, fill_tubes

pytest.importorskip("scipy")

SHAPE, SPACING = (70, 50, 60), (1.0, 1.0, 1.0)


def line(begin: Sequence[float], end: Sequence[float]) -> Tensor:
    a, b = torch.tensor(begin, dtype=torch.float32), torch.tensor(end, dtype=torch.float32)
    return a + torch.linspace(0, 1, 1 + round(float((b - a).norm())))[:, None] * (b - a)


def forked() -> AirwayTree:
    """A trachea of 20 mm, two main bronchi of 10 mm and, behind one of them, a branch of 30 and one of 10 mm."""
    points = [
        line([65, 25, 30], [45, 25, 30]),
        line([45, 25, 30], [45, 25, 40]),
        line([45, 25, 30], [45, 25, 20]),
        line([45, 25, 40], [15, 25, 40]),
        line([45, 25, 40], [45, 25, 50]),
    ]
    widths = [4.0, 2.6, 2.6, 2.0, 2.0]
    radii = [torch.full((len(p),), w) for p, w in zip(points, widths, strict=True)]
    return AirwayTree(torch.tensor([-1, 0, 0, 1, 1]), points, radii)


def mask_of(tree: AirwayTree) -> Tensor:
    return fill_tubes(tree.tubes, SHAPE, SPACING) >= 0.5


def test_a_segmentation_that_is_the_reference_is_perfect() -> None:
    pytest.importorskip("skimage")
    mask = mask_of(forked())
    got = evaluate_airways(mask, mask, SPACING)
    assert got[:2] == got[5:9:1][:2] == (100, 100)
    assert (got.leakage_count, got.leakage_volume, got.false_positive_rate) == (0, 0, 0)
    assert (got.dice, got.precision, got.edge_dice) == (100, 100, 100)
    assert (got.d_fp, got.d_fn) == (0, 0)


def test_half_of_a_long_branch_is_half_of_its_length_and_a_branch_for_exact_but_none_for_atm() -> None:
    tree = forked()
    truth, mask = mask_of(tree), mask_of(tree)
    mask[:30] = False  # 15.5 of the 30 mm of branch 3
    got = evaluate_airways(mask, truth, SPACING, tree, tree)
    assert got.length == pytest.approx(100 * (60 - 14.5) / 60, abs=0.7)
    assert got.branches == 100  # more than a millimetre of each
    assert got.atm_length == pytest.approx(100 * (80 - 14.5) / 80, abs=0.7)
    assert got.atm_branches == 80  # 4 of 5
    assert got.dice == pytest.approx(200 * int(mask.sum()) / int(mask.sum() + truth.sum()))
    assert got.precision == 100


def test_exact_does_not_count_the_trachea_and_atm_does() -> None:
    tree = forked()
    mask = mask_of(tree)
    mask[47:] = False
    got = evaluate_airways(mask, mask_of(tree), SPACING, tree, tree)
    assert (got.length, got.branches) == (100, 100)
    assert got.atm_length == pytest.approx(100 * 62 / 80, abs=0.9)
    assert got.atm_branches == 80


@pytest.mark.parametrize("kept", [0.7, 0.9])
def test_a_branch_is_detected_for_atm_from_80_percent_on(kept: float) -> None:
    tree = forked()
    mask = mask_of(tree)
    mask[: 45 - round(30 * kept)] = False
    got = evaluate_airways(mask, mask_of(tree), SPACING, tree, tree)
    assert got.atm_branches == (100 if kept > 0.8 else 80)


def test_atm_sees_the_largest_part_alone() -> None:
    tree = forked()
    truth, mask = mask_of(tree), mask_of(tree)
    mask[30] = False  # branch 3 loses its lower half
    mask[2:5, 2:5, 2:5] = True
    got = evaluate_airways(mask, truth, SPACING, tree, tree)
    assert got.length == pytest.approx(100 * 59 / 60, abs=0.7)
    assert got.atm_length == pytest.approx(100 * (80 - 15) / 80, abs=0.9)
    assert got.precision == 100  # the loose cube is no part of it
    assert got.leakage_volume == 27 and got.leakage_count == 0  # nothing right touches it


def test_leakage_is_what_lies_outside_the_wall_and_is_counted_where_it_leaves() -> None:
    tree, spacing = forked(), (1.0, 0.5, 0.8)
    truth = mask_of(tree)
    tree = AirwayTree(tree.parent, [p * torch.tensor(spacing) for p in tree.points], tree.radius)  # on these voxels
    mask = truth.clone()
    mask[20:25, 25:40, 40] = True  # a sheet from branch 3, whose lumen ends at y = 27
    mask[45, 25:36, 48] = True  # a line from branch 4
    wrong = mask & ~truth
    tight = evaluate_airways(mask, truth, spacing, tree, tree, wall=0.0)
    assert tight.leakage_volume == pytest.approx(0.4 * int(wrong.sum()))
    assert tight.leakage_count == 2
    late = int(truth[:43].sum() + truth[43:48, :, 43:].sum())  # branches 3 and 4, from where the bronchus ends
    assert tight.false_positive_rate == pytest.approx(100 * int(wrong.sum()) / (late + int(wrong.sum())), rel=0.1)
    walled = evaluate_airways(mask, truth, spacing, tree, tree, wall=1.0)
    assert walled.leakage_volume == pytest.approx(0.4 * (int(wrong.sum()) - 2 * 6))  # two voxels of 0.5 mm on 6 lines
    assert walled.leakage_count == 2
    assert walled.precision == tight.precision == pytest.approx(100 * int(truth.sum()) / int(mask.sum()))


def test_distances_of_centre_lines_are_means_in_millimetres() -> None:
    tube = AirwayTree(torch.tensor([-1]), [line([10, 25, 30], [50, 25, 30])], [torch.full((41,), 2.0)])
    beside = AirwayTree(torch.tensor([-1]), [line([10, 28, 30], [50, 28, 30])], [torch.full((41,), 2.0)])
    half = AirwayTree(torch.tensor([-1]), [line([30, 25, 30], [50, 25, 30])], [torch.full((21,), 2.0)])
    mask = mask_of(tube)
    got = evaluate_airways(mask, mask, SPACING, beside, tube)
    assert (got.d_fp, got.d_fn, got.edge_dice) == (pytest.approx(3), pytest.approx(3), 0)
    got = evaluate_airways(mask, mask, SPACING, half, tube)
    assert got.d_fp == pytest.approx(0, abs=1e-6)
    assert got.d_fn == pytest.approx(20 * 10 / 40, abs=0.2)  # half of the line, on average 10 mm away
    assert got.edge_dice == pytest.approx(200 * 22 / 62, abs=1.0)  # 2 mm beyond the end still have a counterpart


def test_edges_across_the_reference_are_none_of_it() -> None:
    tube = AirwayTree(torch.tensor([-1]), [line([10, 25, 30], [50, 25, 30])], [torch.full((41,), 2.0)])
    across = AirwayTree(torch.tensor([-1]), [line([30, 23.5, 30], [30, 26.5, 30])], [torch.full((4,), 2.0)])
    got = evaluate_airways(mask_of(tube), mask_of(tube), SPACING, across, tube)
    assert got.edge_dice == 0 and got.d_fp < 1


def test_nothing_found_is_measured_and_no_reference_is_refused() -> None:
    tree, truth = forked(), mask_of(forked())
    nothing = torch.zeros_like(truth)
    got = evaluate_airways(nothing, truth, SPACING, truth_tree=tree)
    zeros = (got.length, got.branches, got.atm_length, got.atm_branches, got.dice, got.precision, got.edge_dice)
    assert zeros == (0,) * 7 and got.false_positive_rate == 0
    assert math.isnan(got.d_fp) and math.isnan(got.d_fn)
    with pytest.raises(MetaoptError, match="The reference is empty"):
        evaluate_airways(truth, nothing, SPACING)
    with pytest.raises(MetaoptError, match="must share one grid"):
        evaluate_airways(truth[1:], truth, SPACING)
    with pytest.raises(MetaoptError, match="mask must be"):
        evaluate_airways(truth.float(), truth, SPACING)


def test_positions_follow_anisotropic_voxels() -> None:
    pytest.importorskip("skimage")
    spacing = (1.0, 0.5, 0.5)
    tube = AirwayTree(torch.tensor([-1]), [line([10, 12, 14], [60, 12, 14])], [torch.full((51,), 2.0)])
    mask = fill_tubes(tube.tubes, SHAPE, spacing) >= 0.5
    got = evaluate_airways(mask, mask, spacing, truth_tree=tube)
    assert got.atm_length == 100 and got.d_fp < 0.3  # the skeleton that is measured lies on the line


def test_the_dice_of_edges_counts_pairs_in_either_direction_once() -> None:
    edges, truth = torch.tensor([[0, 1, 2, 3], [1, 2, 1, 4]]), torch.tensor([[1, 2, 3], [0, 3, 4]])
    assert dice_of_edges(edges, truth) == pytest.approx(200 * 2 / 6)  # {01, 12, 34} and {01, 23, 34}
    assert dice_of_edges(edges[:, :0], truth[:, :0]) == 100
    assert dice_of_edges(edges, truth[:, :0]) == 0

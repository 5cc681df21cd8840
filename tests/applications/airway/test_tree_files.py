"""Trees and tables of airways: what is written says where in the patient each branch is, and is read as it was."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import metaopt as mo
from metaopt.applications.airway import read_tree, summarize, tabulate, write_table, write_tree
from metaopt.data import read_swc
from metaopt.data.formats.ct_grid import grid_of
from metaopt.tasks.airways import AirwayTree

from . import trees


def test_a_tree_is_read_as_it_was_written(tmp_path: Path) -> None:
    tree, grid = trees.tree(), trees.grid()
    write_tree(tmp_path / "t.swc", tree, grid)
    found = read_tree(tmp_path / "t.swc", grid)
    assert found.parent.tolist() == tree.parent.tolist()
    for number in range(len(tree)):
        assert torch.allclose(found.points[number], tree.points[number], atol=1e-3)
        assert torch.allclose(found.radius[number][1:], tree.radius[number][1:], atol=1e-3)
    bare = read_tree(tmp_path / "t.swc")
    assert torch.allclose(bare.length, tree.length, atol=1e-3)
    assert torch.allclose(bare.angle[1:], tree.angle[1:], atol=0.1)


def test_positions_in_the_file_are_those_of_the_scanner(tmp_path: Path) -> None:
    write_tree(tmp_path / "t.swc", trees.tree(), trees.grid())
    assert "to the right, y to the front, z to the head of the patient (RAS" in (tmp_path / "t.swc").read_text()
    nodes = read_swc(tmp_path / "t.swc")
    z, y, x = trees.TOP
    expected = trees.AFFINE @ [x / 0.8, y / 0.8, z / 1.0, 1]
    assert np.allclose(nodes.points[0].numpy(), expected[:3], atol=1e-3)
    assert len(nodes.parent) == 5 * 40 - 4, "a branch shares the end of its parent"


def test_the_table_has_what_the_tree_was_made_with(tmp_path: Path) -> None:
    rows = tabulate(trees.tree(), trees.grid())
    assert [row.side for row in rows] == ["", "right", "left", "right", "right"]
    assert [row.generation for row in rows] == [0, 1, 1, 2, 2] and [row.parent for row in rows] == [-1, 0, 0, 1, 1]
    assert rows[0].length_mm == pytest.approx(32) and rows[0].angle_deg is None
    assert rows[0].diameter_mm == pytest.approx(10) and rows[0].area_mm2 == pytest.approx(25 * math.pi)
    assert rows[0].taper_mm_per_mm == pytest.approx(0, abs=1e-6)
    length = math.dist(trees.CARINA, (14.0, 26.0, 54.0))
    assert rows[2].taper_mm_per_mm == pytest.approx(2 * (3.4 - 2.2) / length, rel=1e-3)
    write_table(tmp_path / "t.csv", rows)
    with (tmp_path / "t.csv").open() as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(rows[0]._fields) and len(read) == 5
    assert read[0]["angle_deg"] == "" and read[2]["side"] == "left" and float(read[0]["length_mm"]) == 32
    assert summarize(trees.tree()).startswith("5 branches to generation 2, ")


def test_sides_follow_the_patient_and_not_the_order_of_voxels() -> None:
    """Mirrored in the scanner, the same tree has the other sides; without a grid x leads to the left."""
    mirrored = trees.grid()._replace(affine=torch.diag(torch.tensor([-1.0, 1, 1, 1])).double() @ trees.grid().affine)
    assert [row.side for row in tabulate(trees.tree(), mirrored)] == ["", "left", "right", "left", "left"]
    assert [row.side for row in tabulate(trees.tree())] == ["", "right", "left", "right", "right"]


def test_a_branch_that_crosses_the_middle_is_on_the_side_of_its_bronchus_and_spurs_are_none() -> None:
    tree = trees.tree()
    high = (60.0, 24.0, 32.0)
    crossing = trees.line((10.0, 34.0, 20.0), (8.0, 40.0, 36.0))  # of the right lung, to the left of the carina
    points = [trees.line(trees.TOP, high), trees.line(high, trees.CARINA), trees.line(high, (60.0, 24.0, 38.0))]
    points += [*tree.points[1:], crossing]
    parents = torch.tensor([-1, 0, 0, 1, 1, 3, 3, 6])
    spurred = AirwayTree(parents, points, [torch.full((40,), 2.0)] * 8)
    assert [row.side for row in tabulate(spurred)] == ["", "", "left", "right", "left", "right", "right", "right"]


def test_a_single_tube_has_no_side_and_a_short_one_no_taper() -> None:
    tube = AirwayTree(torch.tensor([-1]), [trees.line((2.0, 0, 0), (0.0, 0, 0), 5)], [torch.ones(5)])
    row = tabulate(tube)[0]
    assert row.side == "" and row.taper_mm_per_mm is None and row.angle_deg is None
    assert summarize(tube) == "1 branch to generation 0, 2 mm long in all; the first is 2.0 mm wide."


REFUSED = {
    "two roots": ("1 0 0 0 0 1 -1\n2 0 0 0 9 1 -1\n", "has 2 nodes and 2 roots"),
    "one node": ("1 0 0 0 0 1 -1\n", "has 1 nodes and 1 roots"),
    "no trachea": ("1 0 0 0 0 1 -1\n2 0 1 0 0 1 1\n3 0 0 1 0 1 1\n", "divides at once"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_swc_that_is_no_airway_tree_is_refused(tmp_path: Path, name: str) -> None:
    text, said = REFUSED[name]
    (tmp_path / "t.swc").write_text(text)
    with pytest.raises(mo.MetaoptError, match=said):
        read_tree(tmp_path / "t.swc")


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_tree(folder / "t.txt", trees.tree(), trees.grid()),
        lambda folder: write_table(folder / "t.xls", tabulate(trees.tree())),
        lambda folder: write_tree(folder / "none" / "t.swc", trees.tree(), trees.grid()),
    ],
)
def test_a_file_of_another_ending_or_in_no_folder_is_not_written(tmp_path: Path, write) -> None:
    with pytest.raises(mo.MetaoptError, match=r"does not say that it is a|cannot be written"):
        write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_axes_that_are_turned_keep_their_place() -> None:
    matrix = np.array([[0, 0, 2.0, 5], [0.8, 0, 0, 7], [0, -0.8, 0, 9], [0, 0, 0, 1]])
    grid = grid_of(matrix, (10, 20, 30))
    stored = torch.rand(10, 20, 30)
    volume = grid.brought(stored)
    assert volume.shape == (20, 10, 30) and grid.spacing == (0.8, 0.8, 2.0)
    assert torch.equal(grid.as_stored(volume), stored)
    assert np.allclose(grid.stored_affine(volume.shape).numpy(), matrix)

"""Trees in SWC files: what is written is read, and a file that holds no tree is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import metaopt as mo
from metaopt.data import SwcNodes, read_swc, write_swc


def test_nodes_are_read_as_they_were_written(tmp_path: Path) -> None:
    points = torch.tensor([[0.0, 1, 2], [-3.25, 4, 5], [6, 7, -8.5], [1, 1, 1]])
    nodes = SwcNodes(points, torch.tensor([4.0, 3, 2, 1]), torch.tensor([-1, 0, 0, 2]))
    write_swc(tmp_path / "t.swc", nodes, ["from a test"])
    lines = (tmp_path / "t.swc").read_text().splitlines()
    assert lines[0] == "# from a test" and lines[3] == "2 0 -3.2500 4.0000 5.0000 3.0000 1"
    found = read_swc(tmp_path / "t.swc")
    assert all(torch.allclose(a.double(), b.double()) for a, b in zip(found, nodes, strict=True))


def test_nodes_in_any_order_with_any_numbers_comments_and_blank_lines_are_read(tmp_path: Path) -> None:
    text = "\ufeff# head\n\n30 3 1 2 3 .5 7  # a tip\r\n7 1 0 0 0 1e0 -1\n\t8 5 4 4 4 2 30 extra\n"
    (tmp_path / "t.swc").write_text(text, encoding="utf-8")
    found = read_swc(tmp_path / "t.swc")
    assert found.parent.tolist() == [1, -1, 0]
    assert found.points.tolist() == [[1, 2, 3], [0, 0, 0], [4, 4, 4]] and found.radius.tolist() == [0.5, 1, 2]


REFUSED = {
    "nothing": ("", "has no nodes"),
    "comments alone": ("# nothing\n", "has no nodes"),
    "words": ("a b c d e f g\n", "in line 1, which is not 'id type"),
    "six columns": ("1 0 0 0 0 1\n", "in line 1, which is not 'id type"),
    "commas": ("1,0,0,0,0,1,-1\n", "in line 1, which is not"),
    "a fraction for a number": ("1.5 0 0 0 0 1 -1\n", "in line 1, which is not"),
    "underscores": ("1 0 1_0 0 0 1 -1\n", "in line 1, which is not"),
    "NaN": ("1 0 nan 0 0 1 -1\n", "finite position and a radius above 0"),
    "an infinite radius": ("1 0 0 0 0 inf -1\n", "finite position and a radius above 0"),
    "no radius": ("1 0 0 0 0 0 -1\n", "finite position and a radius above 0"),
    "a number twice": ("1 0 0 0 0 1 -1\n1 0 1 0 0 1 1\n", "two nodes of number 1, the second in line 2"),
    "a parent that is missing": ("1 0 0 0 0 1 -1\n3 0 1 0 0 1 2\n", "node 3 whose parent 2 is missing"),
    "its own parent": ("1 0 0 0 0 1 1\n", "their own ancestors, such as 1"),
    "a ring": ("1 0 0 0 0 1 -1\n2 0 1 0 0 1 3\n3 0 1 0 0 1 2\n", "their own ancestors, such as 2"),
    "bytes": ("\x00\x01\x02\n", "in line 1, which is not"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_holds_no_tree_is_refused(tmp_path: Path, name: str) -> None:
    text, said = REFUSED[name]
    (tmp_path / "t.swc").write_text(text)
    with pytest.raises(mo.MetaoptError, match=said) as caught:
        read_swc(tmp_path / "t.swc")
    assert str(caught.value).startswith(str(tmp_path / "t.swc"))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match="does not exist"):
        read_swc(tmp_path / "t.swc")
    with pytest.raises(mo.MetaoptError, match="is a folder"):
        read_swc(tmp_path)

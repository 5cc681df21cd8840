"""The commands of airways write masks, trees and tables that belong to their CT, or one line and no file at all."""

from __future__ import annotations

import csv
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import torch

from metaopt import MetaoptError
from metaopt.applications.airway import Airways, read_tree
from metaopt.cli import main
from metaopt.data import read_mask, write_mask
from metaopt.data.formats.ct_grid import grid_of
from metaopt.tasks.airways import measure_airways

from ..applications.airway import trees
from ..data.formats import scans, test_ct_faults

SEGMENT = importlib.import_module("metaopt.applications.airway.segment_file")  # its name is the function's, too


def run(*arguments: object) -> int:
    return main(["airway", *map(str, arguments)])


def line_of(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("metaopt: ") and "fault of metaopt" not in err, err
    return err


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    write_mask(tmp_path / "mask.nii.gz", trees.mask(), trees.grid())
    return tmp_path / "mask.nii.gz"


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """A CT in which the airways of the tree are of -1000 HU, stored with other axes."""
    values = torch.where(trees.mask(), -1000, 40).short().numpy().transpose(2, 1, 0)
    image = nibabel.Nifti1Image(values, trees.AFFINE).as_reoriented(np.array([[1, 1], [2, -1], [0, 1]]))
    nibabel.save(image, tmp_path / "ct.nii.gz")
    return tmp_path / "ct.nii.gz"


@pytest.fixture
def threshold(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In the place of all methods a threshold, with the words of whose progress nothing is printed."""
    told: list[str] = []

    def segment(volume: torch.Tensor, spacing: Any, method: str, progress: Callable[[str], None]) -> Airways:
        if not bool((volume < -500).any()):
            raise MetaoptError("The volume has no air.")
        progress("looking")
        told.append(method)
        return Airways(measure_airways(volume < -500, spacing), volume < -500, ["5 branches were found."])

    monkeypatch.setattr(SEGMENT, "segment_airways", segment)
    return told


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_measure_writes_the_table_and_the_tree_of_a_mask(
    mask: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, tree = tmp_path / "t.csv", tmp_path / "t.swc"
    assert run("measure", mask, "--table", table, "--tree", tree) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("5 branches to generation 2, ")
    assert out[1].startswith(f"Wrote {tree}") and out[2].startswith(f"Wrote {table}")
    rows = rows_of(table)
    assert [row["side"] for row in rows].count("right") == 3 and [row["side"] for row in rows].count("left") == 1
    assert float(rows[0]["diameter_mm"]) == pytest.approx(10, rel=0.1)
    assert float(rows[0]["length_mm"]) == pytest.approx(32, abs=8)
    left = next(row for row in rows if row["side"] == "left")
    assert float(left["taper_mm_per_mm"]) == pytest.approx(2 * 1.2 / 29.8, rel=0.15)
    found = read_tree(tree, trees.grid())
    assert float((found.points[0][0] - torch.tensor(trees.TOP)).norm()) < 7
    assert run("measure", mask) == 0
    assert len(list(tmp_path.iterdir())) == 3


def test_segment_writes_a_mask_that_lies_on_its_ct(
    ct: Path, threshold: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, tree, table = tmp_path / "out.nii.gz", tmp_path / "t.swc", tmp_path / "t.csv"
    page = tmp_path / "p.html"
    options = ["--tree", tree, "--table", table, "--page", page]
    assert run("segment", ct, out, "--method", "grow", *options) == 0
    assert threshold == ["grow"]
    given, found = nibabel.load(ct), nibabel.load(out)
    assert np.allclose(found.affine, given.affine) and found.shape == given.shape
    assert np.array_equal(np.asarray(found.dataobj), np.asarray(given.dataobj) < -500)
    assert len(rows_of(table)) == 5 and len(read_tree(tree)) == 5 and page.stat().st_size > 1000
    heads = re.findall('<th scope="col">(.*?)</th>', page.read_text())
    assert heads[3:] == ["Length (mm)", "Diameter (mm)", "Side", "Area (mm²)", "Taper (mm/mm)", "Angle (°)"]
    said, err = capsys.readouterr()
    assert said.splitlines()[0] == "70 x 60 x 80 voxels of 1 x 0.8 x 0.8 mm (z, y, x), -1000 to 40 HU."
    assert "5 branches were found." in said and said.count("Wrote ") == 4 and err == ""
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_segment_reads_the_series_that_is_named(
    threshold: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = torch.where(trees.mask(), -1000, 40).short().numpy()
    scans.series_of(tmp_path / "ct", values)
    scans.series_of(tmp_path / "ct", values[:30], series=test_ct_faults.OTHER, prefix="b")
    assert run("segment", tmp_path / "ct", tmp_path / "o.nii") == 2
    assert "holds 2 series of CT slices; choose one by its number" in line_of(capsys)
    assert run("segment", tmp_path / "ct", tmp_path / "o.nii", "--series", "1") == 0
    assert nibabel.load(tmp_path / "o.nii").shape == (80, 60, 70)
    assert np.allclose(nibabel.load(tmp_path / "o.nii").affine, scans.affine())


def test_evaluate_compares_a_mask_or_what_is_found_in_a_ct(
    ct: Path, mask: Path, threshold: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", ct, mask) == 0
    first = capsys.readouterr().out
    assert "100.0 % of the length and 100.0 % of the branches" in first and "Dice 100.0 %" in first
    found = read_mask(mask)
    cut = found.mask.clone()
    cut[:, :, 40:] = False  # the left main bronchus
    write_mask(tmp_path / "cut.nii.gz", cut, found.grid)
    assert run("evaluate", tmp_path / "cut.nii.gz", mask) == 0
    second = capsys.readouterr().out
    assert second.count("\n") == 3 and "100.0 % of the length" not in second and threshold == ["gnn"]
    assert len(list(tmp_path.iterdir())) == 3


def test_masks_that_do_not_lie_on_the_ct_are_refused(
    ct: Path, mask: Path, threshold: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mask(tmp_path / "moved.nii", trees.mask(), grid_of(trees.AFFINE + np.eye(4, k=3), trees.SHAPE[::-1]))
    write_mask(tmp_path / "cut.nii", trees.mask()[:60], trees.grid())
    for name, said in (("moved.nii", "lie up to "), ("cut.nii", "holds 60 x 60 x 80 voxels and")):
        assert run("evaluate", ct, tmp_path / name) == 2
        assert said in line_of(capsys)
    assert run("evaluate", mask, mask) == 2
    assert "is read, and would be lost" not in (line := line_of(capsys)) and "compared with itself" in line
    assert run("evaluate", mask, ct) == 2
    assert "is no mask" in line_of(capsys)
    assert threshold == []


def outputs(folder: Path) -> list[object]:
    return [folder / "o.nii.gz", "--tree", folder / "o.swc", "--table", folder / "o.csv", "--page", folder / "o.html"]


def test_outputs_that_cannot_be_are_one_line_before_anything_is_read(
    mask: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SEGMENT, "read_ct", None)
    scans.series_of(tmp_path / "ct")
    before = sorted(tmp_path.rglob("*"))
    slice_of = next((tmp_path / "ct").glob("*.dcm"))
    (tmp_path / "ct" / "link.nii").symlink_to(slice_of)
    cases: list[tuple[list[object], str]] = [
        ([tmp_path / "o.nrrd"], "does not say that it is NIfTI"),
        ([tmp_path / "ct" / "link.nii"], "is read, and would be lost"),
        ([tmp_path / "none" / "o.nii"], "does not exist; make it"),
        ([tmp_path], "does not say that it is NIfTI"),
        ([tmp_path / "o.nii", "--tree", tmp_path / "o.txt"], "end it in .swc"),
        ([tmp_path / "o.nii", "--table", tmp_path / "o.xls"], "end it in .csv"),
        ([tmp_path / "o.nii", "--page", tmp_path / "o.pdf"], "end it in .html"),
        ([tmp_path / "o.nii", "--page", tmp_path / "no" / "o.html"], "does not exist; make it"),
        ([tmp_path / "o.nii", "--method", "magic"], "There is no method 'magic' to find airways; there are gnn, "),
        (["/proc/o.nii"], "cannot be written"),
    ]
    for arguments, said in cases:
        assert run("segment", tmp_path / "ct", *arguments) == 2
        assert said in line_of(capsys), said
    (tmp_path / "ct" / "link.nii").unlink()
    assert run("segment", mask, mask) == 2 and "is read, and would be lost" in line_of(capsys)
    assert run("measure", mask, "--table", mask) == 2 and "end it in .csv" in line_of(capsys)
    assert sorted(tmp_path.rglob("*")) == before


def test_where_one_output_fails_none_is_left(
    ct: Path, threshold: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MetaoptError("The page cannot be made.")

    (tmp_path / "o.csv").write_text("older")
    monkeypatch.setattr(SEGMENT, "_write_page", fail)
    assert run("segment", ct, *outputs(tmp_path)) == 2
    assert "The page cannot be made" in line_of(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct.nii.gz", "o.csv"]
    assert (tmp_path / "o.csv").read_text() == "older"


@pytest.mark.parametrize("name", test_ct_faults.EDITS)
def test_every_faulty_folder_is_one_line_and_status_2_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    scans.series_of(tmp_path / "ct", edit=test_ct_faults.EDITS[name][0])
    before = sorted(tmp_path.rglob("*"))
    assert run("segment", tmp_path / "ct", *outputs(tmp_path)) == 2
    assert str(tmp_path / "ct") in line_of(capsys)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_volume_without_airways_is_one_line_that_names_its_file(
    ct: Path, threshold: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.zeros((80, 60, 70)) + np.arange(70)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), trees.AFFINE), ct)
    assert run("segment", ct, *outputs(tmp_path)) == 2
    assert f"{ct}: The volume has no air." in line_of(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["ct.nii.gz"]


def test_masks_without_a_tree_are_one_line(mask: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dot = torch.zeros(trees.SHAPE, dtype=torch.bool)
    dot[3, 3, 3] = True
    write_mask(tmp_path / "dot.nii", dot, trees.grid())
    (tmp_path / "cut.nii.gz").write_bytes(mask.read_bytes()[:300])
    slice_of = tmp_path / "slice.dcm"
    pydicom.dcmwrite(slice_of, scans.dataset(np.zeros((4, 4), np.int16), 0, (0, 0, 0)), enforce_file_format=True)
    before = sorted(tmp_path.iterdir())
    for name, said in (
        ("dot.nii", "cannot be measured: The largest part of the mask has 1 voxels and no centre line"),
        ("cut.nii.gz", "cut short"),
        ("none.nii", "does not exist"),
        ("slice.dcm", "is a single DICOM file"),
        (".", "is a folder; give a mask"),
    ):
        assert run("measure", tmp_path / name, "--table", tmp_path / "t.csv", "--tree", tmp_path / "t.swc") == 2
        assert said in line_of(capsys), said
    assert sorted(tmp_path.iterdir()) == before

"""The page of results for airways says what the benchmark's settings are, and shows its figures once there are any."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import simulated_ct

DOCS = Path(__file__).parents[2] / "docs"
PAGE = " ".join((DOCS / "results_airway.rst").read_text().split())


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("airway_tables", DOCS / "airway_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_settings_and_the_tissue_are_those_of_the_benchmark() -> None:
    blurs, noises = zip(*simulated_ct.SETTINGS, strict=True)
    assert "Blur of {}, {} and {} mm".format(*blurs) in PAGE
    assert "noise of {:g}, {:g} and {:g} HU".format(*noises) in PAGE
    tissue = simulated_ct.TISSUE
    assert f"{tissue.thickness} mm there" in PAGE
    assert f"{tissue.parenchyma:g} HU on average with a standard deviation of {tissue.texture:g} HU" in PAGE


def test_a_cell_is_a_mean_with_its_spread_and_nothing_for_what_was_not_found(tables: ModuleType) -> None:
    row = dict.fromkeys(tables.MEASURES, 1.25) | {f"{measure}_spread": 0.5 for measure in tables.MEASURES}
    row |= {"of": tables.MAIN, "method": "region growing", "d_fp": None}
    cells = {cell["cell"]: cell for cell in tables.cells(row)}
    assert cells["d_FN"]["text"] == "1.25 +- 0.50" and "d_FP" not in cells
    chosen, down, across, shown = tables.TABLES["airway_main"]
    assert chosen(cells["TD"]) and (down(cells["TD"]), across(cells["TD"])) == ("region growing", "TD")
    assert shown(cells["TD"]) == "1.2 +- 0.5"
    assert f"{simulated_ct.REAL}, {simulated_ct.MIDDLE}" == tables.MAIN


def test_pictures_are_shown_once_the_benchmark_has_run(tables: ModuleType, tmp_path: Path) -> None:
    assert not tables.pictures(tmp_path / "airway.json").strip()
    (tmp_path / "airway.json").write_text("{}")
    assert "images/airway_tree.png" in tables.pictures(tmp_path / "airway.json")

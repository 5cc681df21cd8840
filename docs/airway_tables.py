"""What the page of airways shows of its benchmark: cells of its tables, and its pictures once they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
MAIN = "real mask, blur 1 mm, noise 40 HU"
MEASURES = {  # the head of the column, and how a number is written
    "length": ("length", ".1f"),
    "branches": ("branches", ".1f"),
    "false_positive_rate": ("false positives", ".2f"),
    "leakage_count": ("leaks", ".1f"),
    "atm_length": ("TD", ".1f"),
    "atm_branches": ("BD", ".1f"),
    "dice": ("Dice", ".1f"),
    "precision": ("precision", ".1f"),
    "d_fp": ("d_FP", ".2f"),
    "d_fn": ("d_FN", ".2f"),
    "edge_dice": ("Dice of edges", ".1f"),
    "seconds": ("seconds", ".0f"),
    "GiB": ("GiB", ".1f"),
}
TABLES: dict[str, tuple[Callable[[Row], Any], ...]] = {
    "airway_main": (
        lambda row: "cell" in row and row["scans"] == MAIN,
        lambda row: row["method"],
        lambda row: row["cell"],
        lambda row: row["text"],
    ),
    "airway_settings": (
        lambda row: row.get("cell") in ("length", "false positives"),
        lambda row: f"{row['scans']}: {row['cell']}",
        lambda row: row["method"],
        lambda row: row["text"],
    ),
}
PICTURES = """.. image:: images/airway_tree.png
   :alt: Centre lines from the front, in colours for what the graph network found, missed and added.

.. image:: images/airway.png
   :alt: Length detected against false positives, by method, setting and kind of tree.
"""


def cells(row: Row) -> list[dict[str, str]]:
    """A cell for each measure of a row of means over seeds."""
    return [
        {
            "cell": title,
            "scans": row["of"],
            "method": row["method"],
            "text": f"{row[measure]:{form}} +- {row[measure + '_spread']:{form}}",
        }
        for measure, (title, form) in MEASURES.items()
        if row[measure] is not None
    ]


def pictures(results: Path) -> str:
    """The lines that show them; none before the benchmark has run."""
    return PICTURES if results.exists() else "\n"

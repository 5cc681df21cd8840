"""What the page of radio astronomy shows of its benchmark: cells of its tables, and its picture once it is drawn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
MEASURES = {  # the head of the column, and how a number is written
    "snr": ("SNR (dB)", ".2f"),
    "log_snr": ("log-SNR (dB)", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "residual": ("residual over noise", ".2f"),
    "dynamic_range": ("dynamic range", ".0f"),
    "seconds": ("CPU seconds", ".2f"),
}
TABLES: dict[str, tuple[Callable[[Row], Any], ...]] = {
    name: (
        lambda row, name=name: row.get("cell") == name,
        lambda row: row["down"],
        lambda row: row["across"],
        lambda row: row["text"],
    )
    for name in ("radio_means", "radio_settings", "radio_skies")
}
CLOSURES = ["model", "closure_phase", "log_closure_amplitude", "parameters", "found"]
PICTURE = """.. image:: images/radio.png
   :alt: 3C353 by every method, and below each its error, all on one logarithmic scale.
"""


def cells(rows: Sequence[Row]) -> list[dict[str, str]]:
    """A cell for each measure of the means, and for the SNR of each setting and of each sky."""
    found = []
    for row in rows:
        if row.get("of") == "all":
            for measure, (title, form) in MEASURES.items():
                text = f"{row[measure]:{form}}" + (f" +- {row['spread']:.2f}" if measure == "snr" else "")
                found.append({"cell": "radio_means", "down": row["method"], "across": title, "text": text})
    cases = [row for row in rows if "sky" in row]
    for table, column in (("radio_settings", "setting"), ("radio_skies", "sky")):
        for method, value in dict.fromkeys((row["method"], row[column]) for row in cases):
            of = [row["snr"] for row in cases if (row["method"], row[column]) == (method, value)]
            spread = statistics.stdev(of) if len(of) > 1 else 0.0
            text = f"{statistics.mean(of):.1f} +- {spread:.1f}"
            # Methods are the columns of settings, of which there are more than skies.
            down, across = (value, method) if table == "radio_settings" else (method, value)
            found.append({"cell": table, "down": down, "across": across, "text": text})
    return found


def picture(results: Path) -> str:
    """reStructuredText of the picture; nothing before the benchmark has drawn it."""
    return PICTURE if results.exists() else "\n"

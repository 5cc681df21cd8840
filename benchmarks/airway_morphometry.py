"""Sets trees that the generator grows beside those of real lumen masks: lengths, radii, angles, branches a generation.

``python -m benchmarks.airway_morphometry --data DIR [--quick]`` prints the medians by generation and draws
docs/images/airway_morphometry.png. People 1 to 3 and ten segmentations of two more people stand for what is real, the
same that the generator is calibrated on; person 4 is kept for tests. Grown trees are rendered on the grids of people 1
to 3 and measured in the same way, so that both are seen through voxels of one size.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from metaopt import MetaoptError
from metaopt.data import data_path
from metaopt.tasks.airways import AirwayTree, by_generation, fill_tubes, grow_airways, measure_airways
from metaopt.tasks.airways.people import upright_mask

from .figures import draw_histograms

PEOPLE = (1, 2, 3)  # 4 is for tests
SEEDS = (0, 1)  # trees grown in the lungs of each person
TRACHEA = 30.0  # mm; a mask whose first branch is shorter has a ragged end that is no trachea


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the folder of data, which holds ct/; by default that of METAOPT_DATA")
    parser.add_argument("--quick", action="store_true", help="one person and one tree, and no figure")
    options = parser.parse_args(arguments)
    masks = data_path("ct/airway_masks", options.data)
    teams = [] if options.quick else sorted(data_path("ct/airway_predictions", options.data).glob("*.nii.gz"))
    people = PEOPLE[:1] if options.quick else PEOPLE
    real = [_measured(path) for path in [*(masks / f"patient{n}" / "bronchialTree.nii.gz" for n in people), *teams]]
    real = [tree for tree in real if float(tree.length[0]) > TRACHEA]
    grown = [
        _grown(masks / f"patient{n}" / "pleuralBoundary.nii.gz", seed)
        for n in people
        for seed in (SEEDS[:1] if options.quick else SEEDS)
    ]
    print(f"{len(real)} real masks, {len(grown)} grown trees")
    print("generation  branches    length/mm   radius/mm   angle/degrees   (real, grown)")
    for a, b in zip(by_generation(real), by_generation(grown), strict=False):
        pairs = [(getattr(a, name), getattr(b, name)) for name in ("branches", "length", "radius", "angle")]
        print(f"{a.generation:10d}", *(f"{x:6.1f} {y:5.1f}" if x > 20 else f"{x:6.2f} {y:5.2f}" for x, y in pairs))
    if not options.quick:
        print(f"wrote {draw_histograms('airway_morphometry', _panels(real, grown))}")


def _measured(path: Path) -> AirwayTree:
    mask, spacing = upright_mask(path)
    return measure_airways(mask, spacing)


def _grown(path: Path, seed: int) -> AirwayTree:
    lungs, spacing = upright_mask(path)
    tree = grow_airways(lungs, spacing, seed)
    return measure_airways(fill_tubes(tree.tubes, tuple(lungs.shape), spacing) >= 0.5, spacing)


def _panels(real: list[AirwayTree], grown: list[AirwayTree]) -> dict[str, tuple[list[float], dict[str, list[float]]]]:
    """Return bins and values, by label, of each panel; the trachea is left out of all but the generations."""

    def values(trees: list[AirwayTree], name: str) -> list[float]:
        found = torch.cat([getattr(tree, name)[1:] for tree in trees]).tolist()
        return [value for value in found if not math.isnan(value)]

    sets = {"real masks": real, "grown": grown}
    bins = {
        "length (mm)": ("length", [2.0 * i for i in range(21)]),
        "radius of the lumen (mm)": ("mean_radius", [0.25 * i for i in range(27)]),
        "angle to the parent (degrees)": ("angle", [5.0 * i for i in range(21)]),
        "generation": ("generation", [i - 0.5 for i in range(17)]),
    }
    return {
        title: (edges, {label: values(trees, name) for label, trees in sets.items()})
        for title, (name, edges) in bins.items()
    }


if __name__ == "__main__":
    try:
        main()
    except MetaoptError as error:
        sys.exit(str(error))

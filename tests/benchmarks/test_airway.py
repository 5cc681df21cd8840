"""What benchmarks.airway makes of the rows of its scans, and how it takes the threshold of the network alone."""

from __future__ import annotations

import pytest
import torch

from benchmarks import airway
from benchmarks.simulated_ct import GROWN, MIDDLE, REAL, SETTINGS, Scene
from metaopt.tasks.airways import AirwayTree, fill_tubes

pytest.importorskip("skimage")


def row(method: str, seed: int, subject: str = REAL, length: float = 80.0, **others: float | None) -> dict[str, object]:
    measures = dict.fromkeys(airway.MEASURES, 1.0) | {"length": length} | others
    return {"subject": subject, "setting": str(MIDDLE), "seed": seed, "method": method, **measures}


def test_a_summary_is_the_mean_over_seeds_with_their_standard_deviation() -> None:
    rows = [row("region growing", seed, length=value) for seed, value in enumerate((60.0, 62.0, 67.0))]
    rows += [row("network alone", 0, d_fp=None)]
    grow, alone = airway.summary(rows)
    assert grow["of"] == f"{REAL}, {MIDDLE}" and grow["seeds"] == 3
    assert grow["length"] == pytest.approx(63) and grow["length_spread"] == pytest.approx(13**0.5)
    assert alone["d_fp"] is None and alone["length_spread"] == 0


def test_the_headline_is_of_the_real_mask_in_the_middle_setting() -> None:
    names = {"gnn": "graph network", "mfn": "mean-field network", "grow": "region growing"}
    names |= {"mst": "minimum spanning tree", "threshold": "network alone"}
    found = []
    for subject, shift in ((REAL, 0.0), (GROWN, 50.0)):
        found += airway.summary([row(name, 0, subject, shift + i) for i, name in enumerate(names.values())])
    wrong = airway.summary([row("graph network", 0, length=99.0)])
    found += [{**wrong[0], "of": f"{REAL}, {SETTINGS[0]}"}]
    found.append({"whole": "512 x 512 x 400 voxels", "method": "gnn", "scan_seconds": 312.4, "scan_gib": 3.21})
    got = airway.headline(found)
    assert [got[f"{key}_length"] for key in names] == [0, 1, 2, 3, 4]
    assert (got["scan_seconds"], got["scan_gib"], got["gnn_dice"]) == (312.4, 3.21, 1.0)


def tube(x: float, begin: float, end: float) -> AirwayTree:
    z = torch.linspace(begin, end, 41)
    return AirwayTree(torch.tensor([-1]), [torch.stack([z, 12 + 0 * z, x + 0 * z], 1)], [torch.full((41,), 3.0)])


def test_the_network_alone_has_the_lowest_threshold_at_which_it_leaks_no_more() -> None:
    tree, spacing = tube(12, 4, 44), (1.0, 1.0, 1.0)
    lumen = fill_tubes(tree.tubes, (48, 24, 48), spacing) >= 0.5
    chest = Scene(torch.zeros(lumen.shape), spacing, lumen, tree)
    seen = 0.9 * lumen.float()
    seen[20:24, 10:14, 16:40] = 0.6  # two leaks, of which the fainter leads further
    seen[30:34, 10:14, 16:46] = 0.3
    most = 400.0  # mm^3: more than the first leak, less than both
    got = airway.above(seen, airway.level_of(most, seen, chest))
    assert got[22, 12, 30] and not got[32, 12, 30] and got[lumen].all()
    none = airway.above(seen, airway.level_of(0.0, seen, chest))
    assert torch.equal(none, lumen)


def test_the_picture_shows_what_was_found_missed_and_added() -> None:
    pieces = airway.compared(tube(12, 20, 60), tube(12, 4, 44))
    lengths = {name: sum(float((p[1] - p[0]).norm()) for p, _ in found) for name, found in pieces.items()}
    assert lengths["found"] == pytest.approx(26, abs=1.5)  # 20 to 44 and 2 mm around
    assert lengths["missed"] == pytest.approx(14, abs=1.5)
    assert lengths["not in the reference"] == pytest.approx(14, abs=1.5)

"""Finds the airways of simulated chest CT, of a person whom no training saw, by learned graphs and by baselines.

Every method gets the same CT, and all but region growing the same airwayness: from one network, and what is wider than
6 mm from region growing without a leak. What is simulated, and how that was chosen, is said in
benchmarks/simulated_ct.py; the headline is of the real mask in the middle setting.
"Network alone" is the network's airwayness above a threshold, the lowest at which it leaks no more than the graph
network does on the same scan; "region growing" has the highest threshold that does not leak. Rows are measured scan by
scan, and a run that was cut off goes on after the last one.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metaopt import MetaoptError
from metaopt.applications.airway import (
    AirwayNodes,
    AirwayScores,
    airway_graph,
    below_larynx,
    evaluate_airways,
    fill_airways,
    find_candidates,
    find_root,
    labelled_tree,
    refinement,
    segment_airways,
)
from metaopt.applications.airway.airwayness import airwayness
from metaopt.applications.airway.lungs import Lungs, find_lungs, widened
from metaopt.applications.airway.refine import NAMELESS, favored
from metaopt.applications.airway.segment import FULL, threshold_airways
from metaopt.problems import GraphRefinement
from metaopt.tasks.airways import AirwayTree
from metaopt.weights import shipped

from .figures import IMAGES, draw_detection, draw_tree
from .memory import peak_of
from .real_ct import REAL_GENERATIONS
from .report import need, options_parser, table
from .rows import Row, Rows, weights_of
from .simulated_ct import GROWN, MASKS, MIDDLE, PERSON, REAL, SETTINGS, TISSUE, Scene, Setting, enlarged, scan, scene

SEEDS = range(5)
GRAPHS = {  # how the edges of one graph are judged: the name of the network, and whether it is trained
    "graph network": ("gnn", True),
    "mean-field network": ("mfn", True),
    "mean-field network, before training": ("mfn", False),
    "mean-field network, degree 3": ("mfn3", True),
    "learned belief propagation": ("lbp", True),
    "belief propagation": ("bp", True),
    "edges alone": ("edge", True),
    "minimum spanning tree": ("mst", True),
}
SPARSE = ("mean-field network, before training", "mean-field network, degree 3", "edges alone")  # in one setting only
ALONE, GROWING = "network alone", "region growing"
WEIGHTS = ("airway", "airway_gnn", "airway_mfn", "airway_mfn3", "airway_lbp", "airway_edge")
LEVELS = (0.02, 0.98)  # between which the threshold of the network alone is looked for, in so many steps
HALVINGS = 6
WALL = 1.0  # mm beyond the lumen in which nothing leaks
WHOLE = (400, 512, 512)  # voxels of the scan whose time and memory are measured
NEAR = 2.0  # mm from the other tree, in the picture
NOTHING = (None, 0, None)  # nodes, root and graph
MEASURES = (*AirwayScores._fields, "seconds", "GiB")
SHOWN = ["length", "branches", "false_positive_rate", "atm_length", "atm_branches", "dice", "precision", "d_fp", "d_fn"]
PUBLISHED = [  # on real CTs, which ours are not
    {"method": "best of ATM'22, published", "atm_length": 95.9, "atm_branches": 94.7, "dice": 93.9},
    {"method": "best on EXACT'09, published", "length": 79.0, "branches": 80.5, "false_positive_rate": 5.8},
]


class Found(NamedTuple):
    """The mask (D, H, W) bool and the tree; without one, it is measured from the mask."""

    tree: AirwayTree | None
    mask: Tensor


class Scan(NamedTuple):
    """One CT (D, H, W) in HU of a chest, and what all methods share: the lungs, airwayness, and a graph or its lack."""

    chest: Scene
    volume: Tensor
    lungs: Lungs
    seen: Tensor
    nodes: AirwayNodes | None
    root: int
    graph: GraphRefinement | None


def of_scan(person: int | None, subject: str, setting: Setting, seed: int, picture: bool) -> list[Row]:
    """A row of every method on one scan."""
    chest = scene(person, subject, seed)
    one, costs = prepared(chest, setting, seed)
    rows, leakage = [], 0.0
    for name, segment in methods(one, chest).items():
        if name in SPARSE and setting != MIDDLE:
            continue
        if name == ALONE and one:
            segment = functools.partial(segment, level_of(leakage, one.seen, chest))
        found, took = measured(segment, chest)
        scores = evaluate_airways(found.mask, chest.lumen, chest.spacing, found.tree, chest.tree, WALL)
        leakage = scores.leakage_volume if name == "graph network" else leakage
        parts = [*costs[: 3 if name in GRAPHS else 2 if name == ALONE else 1], took]
        plain = {key: None if math.isnan(value) else value for key, value in scores._asdict().items()}
        plain |= {"seconds": sum(part[0] for part in parts), "GiB": max(part[1] for part in parts)}
        rows.append({"subject": subject, "setting": str(setting), "seed": seed, "method": name, **plain})
        print(f"{subject}, {setting}, seed {seed}, {name}: {summed(rows[-1])}", flush=True)
        if picture and name == "graph network" and found.tree:
            draw_tree("airway_tree", compared(found.tree, chest.tree))
    return rows


def prepared(chest: Scene, setting: Setting, seed: int) -> tuple[Scan | None, list[tuple[float, float]]]:
    """The scan, if it has lungs, and seconds and GiB of finding these, of airwayness and of the graph."""
    volume, spacing = scan(chest, setting, seed), chest.spacing
    lungs, finding = measured(lambda: find_lungs(volume, spacing), NOTHING)
    if lungs is NOTHING:
        return None, [finding]
    way = "network" if "airway" in shipped() else "tubeness"
    seen, seeing = measured(lambda: airwayness(volume, lungs, spacing, way))

    def join() -> tuple[AirwayNodes, int, GraphRefinement]:
        nodes = find_candidates(seen, spacing, most=FULL)
        return nodes, find_root(nodes, lungs.trachea, spacing), airway_graph(nodes, seen, spacing)

    (nodes, root, graph), joining = measured(join, NOTHING)
    return Scan(chest, volume, lungs, seen, nodes, root, graph), [finding, seeing, joining]


def methods(one: Scan | None, chest: Scene) -> dict[str, Callable[..., Any]]:
    """What finds the airways of a scan; the network alone is given its threshold."""
    if one is None:
        return dict.fromkeys([*GRAPHS, ALONE, GROWING], lambda: Found(None, torch.zeros_like(chest.lumen)))
    found: dict[str, Callable[..., Any]] = {}
    for name, (method, trained) in GRAPHS.items():
        if trained and method in NAMELESS and f"airway_{method}" not in shipped():
            print(f"{name}: skipped, since this package has no weights airway_{method}", flush=True)
        else:
            found[name] = functools.partial(of_graph, one, method, trained)
    found[ALONE] = lambda level: Found(None, above(one.seen, level))
    found[GROWING] = lambda: segment_airways(one.volume, one.chest.spacing, "grow", lungs=one.lungs)
    return found


def of_graph(one: Scan, method: str, trained: bool) -> Found:
    """What :func:`segment_airways` does with a graph, which is made once for all methods."""
    if one.nodes is None or one.graph is None:
        raise MetaoptError("There is no graph.")
    odds = favored(one.graph, method, None if trained else refinement(method, trained=False))
    tree = below_larynx(labelled_tree(one.nodes, one.graph.edge_index, odds, one.root).tree).tree
    return Found(tree, fill_airways(tree, one.seen, one.chest.spacing))


def summed(row: Row) -> str:
    return (
        f"{row['length']:.1f} % of the length, {row['branches']:.1f} % of the branches, "
        f"{row['false_positive_rate']:.2f} % false positives, {row['seconds']:.0f} s"
    )


def compared(found: AirwayTree, truth: AirwayTree) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """The centre lines of both trees in pieces: of the reference what was found and missed, and what is not there."""
    pieces: dict[str, list[tuple[Tensor, Tensor]]] = {"found": [], "missed": [], "not in the reference": []}
    for tree, other, labels in ((truth, found, ("found", "missed")), (found, truth, ("", "not in the reference"))):
        all_points = torch.cat(list(other.points)).double()
        for points, radius in tree.tubes:
            near = torch.cdist(points.double(), all_points).amin(1) <= NEAR
            for i in range(len(points) - 1):
                if label := labels[0 if near[i] and near[i + 1] else 1]:
                    pieces[label].append((points[i : i + 2], radius[i : i + 2]))
    return pieces


def measured(function: Callable[[], Any], otherwise: Any = None) -> tuple[Any, tuple[float, float]]:
    """What a function returns, its seconds and GiB; where it refuses, ``otherwise``, or nothing found in a chest."""
    begin = time.perf_counter()
    try:
        found, peak = peak_of(function)
    except MetaoptError as error:
        if otherwise is None:
            raise
        print(f"nothing found: {error}", flush=True)
        found = Found(None, torch.zeros_like(otherwise.lumen)) if isinstance(otherwise, Scene) else otherwise
        peak = 0.0
    return found, (time.perf_counter() - begin, peak)


def level_of(most: float, seen: Tensor, chest: Scene) -> float:
    """The lowest threshold of airwayness at which at most so many mm^3 leak."""
    low, high = LEVELS
    outside = ~torch.from_numpy(widened(chest.lumen.numpy(), chest.spacing, WALL))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        leakage = float((above(seen, middle) & outside).sum()) * math.prod(chest.spacing)
        low, high = (low, middle) if leakage <= most else (middle, high)
    return high


def above(seen: Tensor, level: float) -> Tensor:
    try:
        return threshold_airways(seen, max(0.5, level), level)
    except MetaoptError:  # nothing is
        return torch.zeros(seen.shape, dtype=torch.bool)


def summary(rows: Sequence[Row]) -> list[Row]:
    """The means over seeds, and in ``..._spread`` their standard deviations."""
    found = []
    for name in dict.fromkeys(row["method"] for row in rows):
        of = [row for row in rows if row["method"] == name]
        figures: Row = {}
        for measure in MEASURES:
            values = [row[measure] for row in of if row[measure] is not None]
            figures[measure] = statistics.fmean(values) if values else None
            figures[f"{measure}_spread"] = statistics.stdev(values) if len(values) > 1 else 0.0
        found.append({"of": f"{of[0]['subject']}, {of[0]['setting']}", "method": name, "seeds": len(of), **figures})
    return found


def whole_scan(person: int, method: str) -> Row:
    """Seconds and GiB of a scan of 512 x 512 x 400 voxels, from the volume to tree and mask."""
    chest = enlarged(scene(person, REAL, 0), WHOLE)
    volume = scan(chest, MIDDLE, 0)
    _, (seconds, gib) = measured(lambda: segment_airways(volume, chest.spacing, method))
    return {"whole": "512 x 512 x 400 voxels", "method": method, "scan_seconds": seconds, "scan_gib": gib}


def headline(rows: Sequence[Row]) -> dict[str, float]:
    """The figures that README and the pages take: of the real mask, in the middle setting."""
    of = {row["method"]: row for row in rows if row.get("of") == f"{REAL}, {MIDDLE}"}
    names = {
        "gnn_length": ("graph network", "length"),
        "gnn_branches": ("graph network", "branches"),
        "gnn_fpr": ("graph network", "false_positive_rate"),
        "mfn_length": ("mean-field network", "length"),
        "grow_length": ("region growing", "length"),
        "mst_length": ("minimum spanning tree", "length"),
        "threshold_length": ("network alone", "length"),
        "gnn_dice": ("graph network", "dice"),
        "gnn_precision": ("graph network", "precision"),
    }
    found = {name: of[method][measure] for name, (method, measure) in names.items() if method in of}
    for row in rows:
        found |= {name: row[name] for name in ("scan_seconds", "scan_gib") if "whole" in row}
    if REAL_GENERATIONS is not None:
        found["real_generations"] = REAL_GENERATIONS
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("--rerun", action="store_true", help="measure every row again, also where no input changed")
    parser.add_argument("--person", type=int, default=PERSON, help="another person, for development; writes nothing")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many, for development")
    options = parser.parse_args()
    quick = options.quick
    need(options, [] if quick else [f"{MASKS}/patient{options.person}"], ["scipy", "skimage", "nibabel"])
    torch.set_grad_enabled(False)
    options.quick = quick or options.person != PERSON or options.seeds != len(SEEDS)
    person = None if quick else options.person
    seeds = range(1 if quick else options.seeds)
    settings = {"tissue": repr(TISSUE), "settings": [list(s) for s in SETTINGS], "person": options.person}
    saved = Rows("airway", {**settings, "halvings": HALVINGS, "whole": list(WHOLE)}, options)
    reads = [weights_of(name) for name in WEIGHTS if name in shipped()]
    reads = reads if quick else [f"{MASKS}/patient{options.person}", *reads]
    tree = IMAGES / "airway_tree.png"
    rows, summaries = [], []
    for subject in (GROWN,) if quick else (REAL, GROWN):
        for seed in seeds:
            for setting in (MIDDLE,) if quick else SETTINGS:
                drawn = not options.quick and (subject, setting, seed) == (REAL, MIDDLE, 0)
                one = functools.partial(of_scan, person, subject, setting, seed, drawn)
                rows += saved.rows(f"{subject}, {setting}, seed {seed}", one, reads, draws=[tree] if drawn else [])
        for setting in (MIDDLE,) if quick else SETTINGS:
            of = [row for row in rows if (row["subject"], row["setting"]) == (subject, str(setting))]
            found = saved.rows(f"{subject}, {setting}", functools.partial(summary, of), given=of)
            summaries += found
            print(f"\n{subject}, {setting}\n{table([*found, *PUBLISHED], ['method', *SHOWN, 'seconds', 'GiB'])}\n")
        if subject == REAL:
            summaries.append(saved.row("whole scan", functools.partial(whole_scan, options.person, "gnn"), reads))
        pictures = [] if options.quick else [draw_detection("airway", rows), tree]
        saved.write({} if quick else headline(summaries), [*rows, *summaries], seeds, pictures)
    print("The published rows are of real CTs; ours are simulated.")


if __name__ == "__main__":
    main()

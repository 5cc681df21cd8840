"""Sets the methods that refine graphs of airways beside each other, before and after training, on the same graphs.

``python -m benchmarks.airway_refinement --data DIR [--quick]`` prints the cross entropy of the edges, and the Dice
overlap of those that are believed in, on the graphs in DIR/airway_graphs/held_out, none of which was trained on: for
every method with the weights that come with the package, and for each slot of mean field, opened alone and trained here
for a minute on DIR/airway_graphs/train. ``python -m metaopt.applications.airway.graphs`` makes the graphs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.airway.refine import LEAST, REFINEMENTS, by_hand, refinement, shortest_tree
from metaopt.losses import binary_cross_entropy, dice
from metaopt.problems import GraphRefinement
from metaopt.tasks import AirwayGraphs
from metaopt.weights import shipped

STEPS = 10
UPDATES = 60
PART = 500  # nodes
SLOTS = {
    "potentials.degree": mo.shared(),
    "potentials.node": mo.shared(),
    "potentials.symmetry": mo.shared(),
    "potentials.pair": mo.shared(),
    "inference.damping": mo.per_step(STEPS, interval=(0.0, 1.0)),
}
Pairs = Sequence[tuple[GraphRefinement, Tensor]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the folder of data, which holds airway_graphs/ (default: METAOPT_DATA)")
    parser.add_argument("--quick", action="store_true", help="one graph, and no slot")
    options = parser.parse_args(arguments)
    if options.data:
        os.environ["METAOPT_DATA"] = options.data
    held = AirwayGraphs("airway_graphs/held_out")
    pairs = [held.sample(number) for number in range(1 if options.quick else len(held.files))]
    print(f"{len(pairs)} graphs, {sum(len(p.x) for p, _ in pairs)} nodes, {sum(len(r) for _, r in pairs)} edges")
    print(f"{'':24}  loss  Dice %  ->  loss  Dice %")
    for method in REFINEMENTS:
        before = judged(refinement(method, trained=False), pairs)
        known = f"airway_{method}" in shipped()
        show(method, before, judged(refinement(method), pairs) if known else None)
    for slot, how in {} if options.quick else SLOTS.items():
        net = mo.unroll(mo.parameterize(mo.algorithms.EdgeInference(mo.MeanField(0.5), by_hand()), {slot: how}), STEPS)
        before = judged(net, pairs)
        learn(net, AirwayGraphs("airway_graphs/train", nodes=PART))
        show(f"mean field, {slot}", before, judged(net, pairs))
    show("shortest tree", judged(shortest_tree, pairs), None)
    best = max(torch.linspace(0.1, 0.9, 17), key=lambda t: judged(above(float(t)), pairs)[1])
    show(f"threshold at {float(best):.2f}", judged(above(float(best)), pairs), None)


def above(level: float) -> Callable[[GraphRefinement], Tensor]:
    """Believe in an edge where airwayness is nowhere below a level; the level is chosen on the very graphs."""
    return lambda problem: 6 * (problem.pairs[:, LEAST] > level).float() - 3


def judged(net: Callable[[GraphRefinement], Any], pairs: Pairs) -> tuple[float, float]:
    """Return the mean loss, and the mean Dice overlap of the edges that are believed in, in percent."""
    with torch.no_grad():
        outputs = [(score if isinstance(score := net(p), Tensor) else score.final, real) for p, real in pairs]
    losses = [float(binary_cross_entropy(score, real)) for score, real in outputs]
    hits = [100 * float(1 - dice(200.0 * (score > 0) - 100, real)) for score, real in outputs]
    return sum(losses) / len(losses), sum(hits) / len(hits)


def learn(net: mo.Unrolled, task: AirwayGraphs) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for seed in range(UPDATES):
        problem, real = task.sample(seed)
        optimizer.zero_grad()
        binary_cross_entropy(net(problem).final, real).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()


def show(name: str, before: tuple[float, float], after: tuple[float, float] | None) -> None:
    print(f"{name:24}{before[0]:6.3f}{before[1]:8.1f}", *([f"  ->{after[0]:6.3f}{after[1]:8.1f}"] if after else []))
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except mo.MetaoptError as error:
        sys.exit(str(error))

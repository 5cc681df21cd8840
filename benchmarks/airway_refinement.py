"""Sets the methods that refine graphs of airways beside each other, before and after training, on the same graphs.

The cross entropy of the edges, and the Dice overlap of those that are believed in, on the graphs in
DIR/airway_graphs/held_out, none of which was trained on: for every method with the weights that come with the package,
and for each slot of mean field, opened alone and trained here for a minute on DIR/airway_graphs/train.
``python -m metaopt.applications.airway.graphs`` makes the graphs.
"""

from __future__ import annotations

import functools
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

from .report import need, parse_options, table
from .rows import Row, Rows, weights_of

HELD_OUT, TRAIN = "airway_graphs/held_out", "airway_graphs/train"
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


def main() -> None:
    options = parse_options(__doc__)
    need(options, [HELD_OUT, TRAIN])
    held = AirwayGraphs(HELD_OUT)
    pairs = [held.sample(number) for number in range(1 if options.quick else len(held.files))]
    sizes = {"nodes": sum(len(p.x) for p, _ in pairs), "edges": sum(len(r) for _, r in pairs)}
    saved = Rows("airway_refinement", {"graphs": len(pairs), **sizes, "updates": UPDATES, "part": PART}, options)
    found = []
    for method in REFINEMENTS:
        known = f"airway_{method}" in shipped()
        compute = functools.partial(of_method, method, known, pairs)
        found.append(saved.row(method, compute, [HELD_OUT, *([weights_of(f"airway_{method}")] if known else [])]))
    for slot in () if options.quick else SLOTS:
        found.append(saved.row(slot, functools.partial(of_slot, slot, pairs), [HELD_OUT, TRAIN]))
    found.append(saved.row("shortest tree", lambda: row_of("shortest tree", judged(shortest_tree, pairs)), [HELD_OUT]))
    found.append(saved.row("threshold", functools.partial(of_threshold, pairs), [HELD_OUT]))
    print(table(found, ["refined by", "loss", "Dice", "loss, trained", "Dice, trained"]))
    saved.write({}, found, [])


def of_method(method: str, trained: bool, pairs: Pairs) -> Row:
    """A method as it is before training, and with the weights that come with the package."""
    before = judged(refinement(method, trained=False), pairs)
    return row_of(method, before, judged(refinement(method), pairs) if trained else None)


def of_slot(slot: str, pairs: Pairs) -> Row:
    """Mean field, in which one slot is opened and learned."""
    algorithm = mo.algorithms.EdgeInference(mo.MeanField(0.5), by_hand())
    net = mo.unroll(mo.parameterize(algorithm, {slot: SLOTS[slot]}), STEPS)
    before = judged(net, pairs)
    learn(net, AirwayGraphs(TRAIN, nodes=PART))
    return row_of(f"mean field, {slot}", before, judged(net, pairs))


def of_threshold(pairs: Pairs) -> Row:
    """The threshold that is best on the very graphs."""
    best = max(torch.linspace(0.1, 0.9, 17), key=lambda t: judged(above(float(t)), pairs)[1])
    return row_of(f"threshold at {float(best):.2f}", judged(above(float(best)), pairs))


def row_of(name: str, before: tuple[float, float], after: tuple[float, float] | None = None) -> Row:
    row: Row = {"refined by": name, "loss": before[0], "Dice": before[1]}
    return row | ({"loss, trained": after[0], "Dice, trained": after[1]} if after else {})


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


if __name__ == "__main__":
    main()

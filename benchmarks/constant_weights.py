"""What learned weights of belief propagation give over constant ones, from as many starts.

Three methods of one search, which differ in the weights of their messages alone: the shipped learned ones, the
constants 1.25, 1.5, 2 and 4 in their place (`models.many_starts()`), and 1 (damped belief propagation). Each has 16
random starts, and joins the fixed points that they find by what each says of Z. (a) grids of 100 spins, drawn afresh,
of four strengths of coupling; (b) every UAI 2014 instance of the data that has exact marginals and is small enough.
Errors are means over variables of the mean over states of |p - exact|; of families, means over their instances.
"""

from __future__ import annotations

import re
from statistics import mean, stdev

import torch

import metaopt as mo
from metaopt.data import data_path
from metaopt.tasks import RandomFields
from metaopt.tasks.batch_marginals import batch_marginals

from .inference import uai
from .inference.methods import STARTED, marginal_error, weights_read
from .report import need, parse_options, table
from .rows import Row, Rows

LEARNED, CONSTANT, DAMPED = "learned BP, 16 starts", "constant weights, 16 starts", "BP, damped, 16 starts"
GRIDS, SPINS, FIELD = 20, 100, 0.25  # models of each strength, their size, the standard deviation of their fields
COUPLINGS = (0.5, 1.0, 1.5, 2.0)  # standard deviations


def on_grids(coupling: float, count: int) -> Row:
    """The mean error of each method over ``count`` grids, and its standard error."""
    task = RandomFields(("grid",), (SPINS, SPINS), (coupling, coupling), (FIELD, FIELD), batch=1, dtype=torch.float64)
    errors: dict[str, list[float]] = {label: [] for label in STARTED}
    for number in range(count):
        graph = task.draw(mo.core.random.generator(2, number))
        exact, _ = batch_marginals(graph)
        for label, method in STARTED.items():
            errors[label].append(float(marginal_error(graph, method(graph).log_marginals, exact)))
    row: Row = {"family": f"grids, {coupling:g}"}
    for label, each in errors.items():
        row |= {label: mean(each), f"{label}, se": stdev(each) / count**0.5}
    return row


def on_instance(name: str) -> Row:
    """The error of each method on a UAI instance; None where it is too large for many starts."""
    instance = uai.read_instance(data_path(uai.PLACE), name)
    return {label: uai.measured(instance, method)["error"] for label, method in STARTED.items()}


def families(rows: list[Row]) -> list[Row]:
    """The means over the instances of each family, of which every method has an error, and over families."""
    by: dict[str, list[Row]] = {}
    for row in rows:
        if all(row[label] is not None for label in STARTED):
            by.setdefault(re.sub("_.*", "", row["instance"]), []).append(row)
    found = [{"family": name, **{m: mean(r[m] for r in part) for m in STARTED}} for name, part in by.items()]
    return [*found, {"family": "mean of families", **{m: mean(row[m] for row in found) for m in STARTED}}]


def main() -> None:
    options = parse_options(__doc__)
    need(options, [uai.PLACE])
    saved = Rows("constant_weights", {"grids": GRIDS, "spins": SPINS, "field": FIELD, "starts": 16}, options)
    weights, count = weights_read(LEARNED), 3 if options.quick else GRIDS
    strengths = COUPLINGS[1:2] if options.quick else COUPLINGS
    grids = [saved.row(f"grids {c:g}", lambda c=c: on_grids(c, count), weights) for c in strengths]
    names = uai.QUICK if options.quick else sorted(path.stem for path in (data_path(uai.PLACE) / "MAR").glob("*.uai"))
    instances = []
    for name in names:
        row = saved.row(f"uai {name}", lambda name=name: on_instance(name), [*uai.files_of(name), *weights])
        instances.append({"instance": name, **row})
        print(name, row, flush=True)
    errors = [list(row.values()) for row in instances]
    means = saved.rows("families", lambda: families(instances), given=errors)
    print(table(grids), table(means), sep="\n\n")
    parts = {"grids": grids, "instances": instances, "families": means}
    headline = {
        "learned_to_constant_grids": mean(r[LEARNED] for r in grids) / mean(r[CONSTANT] for r in grids),
        "learned_to_constant_uai": means[-1][LEARNED] / means[-1][CONSTANT],
        "learned_to_damped_uai": means[-1][LEARNED] / means[-1][DAMPED],
    }
    saved.write(headline, [{"part": part, **row} for part, rows in parts.items() for row in rows], [2])


if __name__ == "__main__":
    main()

"""Every UAI 2014 instance of the data: errors against exact marginals and log10 Z, convergence, seconds."""

from __future__ import annotations

import functools
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms.inference.restarts import CONVERGED
from metaopt.data import data_path, factor_graph, read_evidence, read_log10_z, read_marginals, read_uai

from ..rows import Rows
from .methods import CLASSICAL, LEARNED, MOST_STATES, STARTED, Found, damped, iterated, marginal_error, weights_read
from .rivals import pgmax_beliefs, pgmpy_marginals, within

PLACE = "graphs/uai2014"
QUICK = ("Grids_11", "ObjectDetection_11", "CSP_11")
NOT_EXACT = ("relational",)  # whose published marginals are not exact
PGMPY_SECONDS, PGMPY_GIB = 120, 12
PGMAX_FACTORS = 1_100
GIBBS = {"chains": 20, "steps": 200, "burn_in": 50}
GIBBS_STATES = 1000  # of all variables: larger instances would take minutes


class Instance(NamedTuple):
    """A model with its evidence observed, and its exact marginals (1, N) and log10 Z, where they are known."""

    name: str
    graph: mo.FactorGraph
    marginals: Tensor | None
    log10_z: float | None

    @property
    def family(self) -> str:
        return re.sub("_.*", "", self.name)


def read_instance(folder: Path, name: str) -> Instance:
    model = read_uai(folder / "MAR" / f"{name}.uai")
    evidence = read_evidence(folder / "MAR" / f"{name}.uai.evid", model.cardinalities)
    graph = factor_graph(model, evidence)
    partition = folder / "PR" / f"{name}.uai.PR"
    published = [torch.from_numpy(m) for m in read_marginals(folder / "MAR" / f"{name}.uai.MAR")]
    known = not name.startswith(NOT_EXACT)
    return Instance(
        name,
        graph,
        torch.cat(published)[None] if known else None,
        read_log10_z(partition) if known and partition.exists() else None,
    )


def files_of(name: str) -> list[str]:
    """What there is of an instance: the model, evidence, marginals and log10 Z, below the folder of data."""
    files = [f"MAR/{name}.uai", f"MAR/{name}.uai.evid", f"MAR/{name}.uai.MAR", f"PR/{name}.uai.PR"]
    return [f"{PLACE}/{file}" for file in files if (data_path(PLACE) / file).exists()]


def rows_of(quick: bool, saved: Rows) -> list[dict[str, Any]]:
    folder = data_path(PLACE)
    names = QUICK if quick else sorted(path.stem for path in (folder / "MAR").glob("*.uai"))
    rows = []
    for name in names:
        instance = functools.cache(lambda name=name: read_instance(folder, name))
        methods: dict[str, Callable[[mo.FactorGraph], Found]] = {**CLASSICAL, **LEARNED, **STARTED}
        if not quick:
            methods |= {"Gibbs": gibbs, "exact": exact, "PGMax": pgmax, "pgmpy": pgmpy}
        for label, method in methods.items():
            reads = [*files_of(name), *weights_read(label)]
            row = saved.row(f"uai {name} {label}", lambda m=method, i=instance: measured(i(), m), reads)
            rows.append({"instance": name, "family": re.sub("_.*", "", name), "method": label, **row})
        print(f"{name}: " + ", ".join(f"{r['method']} {r['error']}" for r in rows[-len(methods) :]), flush=True)
    return rows


def measured(instance: Instance, method: Callable[[mo.FactorGraph], Found]) -> dict[str, Any]:
    """Errors are None where the truth, or the method's answer, is not known, ``note`` says why there is no answer."""
    nothing = {"error": None, "log10_z_error": None, "residual": None, "converged": None, "seconds": None}
    try:
        found = method(instance.graph)
    except mo.MetaoptError as error:
        return {**nothing, "note": str(error)}
    row: dict[str, Any] = {**nothing, "seconds": round(found.seconds, 3), "note": ""}
    if instance.marginals is not None:
        row["error"] = round(float(marginal_error(instance.graph, found.log_marginals, instance.marginals)), 6)
    if instance.log10_z is not None and bool(found.log_z.isfinite().all()):
        row["log10_z_error"] = round(abs(float(found.log_z.sum()) / math.log(10) - instance.log10_z), 5)
    if found.residual is not None:
        row |= {"residual": float(found.residual.max()), "converged": bool((found.residual <= CONVERGED).all())}
    return row


def exact(graph: mo.FactorGraph) -> Found:
    begin = time.perf_counter()
    found = mo.exact_marginals(graph)
    return Found(found.log_marginals, found.log_z, None, time.perf_counter() - begin)


def gibbs(graph: mo.FactorGraph) -> Found:
    if len(graph.variable) > GIBBS_STATES or len(graph.edge_state) > MOST_STATES:
        raise mo.MetaoptError(f"More than {GIBBS_STATES} states, or {MOST_STATES} of edges: not run.")
    chains = graph.with_unary(graph.unary.expand(GIBBS["chains"], -1))
    found = iterated(
        lambda g: mo.Gibbs(mo.algorithms.coloring(graph), burn_in=GIBBS["burn_in"]), GIBBS["steps"], chains
    )
    mean = found.log_marginals.exp().mean(0, keepdim=True).log()
    return Found(mean, found.log_z[:1], None, found.seconds)


def pgmax(graph: mo.FactorGraph) -> Found:
    if (count := len(graph.factor_graph)) > PGMAX_FACTORS:
        raise mo.MetaoptError(f"{count} factors: not run, PGMax makes them one by one.")
    states, _, seconds = pgmax_beliefs(graph, steps=200, damping=0.5, temperature=1.0)
    nothing = torch.full((1, 1), math.nan)
    return Found(torch.from_numpy(states)[None], nothing, None, seconds)


def pgmpy(graph: mo.FactorGraph) -> Found:
    cards, scopes, tables = mo.problems.graph_formats.list_factors(graph)
    tree = mo.algorithms.junction_tree(cards, scopes)
    log2_entries = max(tree.log2_entries, default=0)
    if 2**log2_entries > PGMPY_GIB * 2**27:
        raise mo.MetaoptError(f"The largest table of pgmpy's junction tree would have 2^{log2_entries:.0f} entries.")
    # It stops where messages differ by less than 1e-8, whatever their size: about exp(200) they are in the sum.
    surplus = (200 - float(iterated(damped, 50, graph).log_z.sum())) / len(tables)
    given = (cards, scopes, [(t + surplus).exp().numpy() for t in tables], tree.cliques)
    marginals, seconds = within(PGMPY_SECONDS, PGMPY_GIB, pgmpy_marginals, *given)
    with np.errstate(divide="ignore"):
        log = torch.from_numpy(np.log(np.concatenate(marginals)))[None]
    return Found(log, torch.full((1, 1), math.nan), None, seconds)


def families(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean error of every family and method, over the instances that have an exact answer, and of all families."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    by: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row["error"] is not None:
            by.setdefault(row["family"], {}).setdefault(row["method"], []).append(row["error"])
    table = []
    for family, found in by.items():
        table.append({"family": family, **{m: float(np.mean(found[m])) if m in found else None for m in methods}})
    whole = [m for m in methods if all(row[m] is not None for row in table)]
    table.append({"family": "mean of families", **{m: float(np.mean([row[m] for row in table])) for m in whole}})
    return table

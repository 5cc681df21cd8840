"""Inference in graphical models: classical and learned, beside exact answers, PGMax and pgmpy.

(a) Ising models on 17 structures, of the size that was trained on and larger; (b) every UAI 2014 instance of the
data; (c) the likeliest states of restricted Boltzmann machines (PGMax's own benchmark), and the speed on them. Learned
methods are trained on generated models alone (`benchmarks.graphical_training`). Errors are means over variables of the
mean over states of |p - exact|; of families, means over their instances. Converged means that an undamped step changes
the logarithm of no message by more than 1e-4. PGMax has no log Z; pgmpy's belief propagation is exact, on a junction
tree. *16 starts* joins the fixed points that as many random starts find, by what each says of Z (`RandomRestarts`), for
the learned network with larger weights where nothing converges; beside it stand damped belief propagation from as many
starts, which is what the starts alone are worth, and constant weights in the place of the learned ones, which is what
larger weights are worth without learning. The published marginals of the relational family are not exact: its
instances show convergence and time only.
"""

from __future__ import annotations

import time
from typing import Any

import torch

import metaopt as mo
from metaopt.tasks import ising, structure

from .inference import rbms, structures, uai
from .inference.methods import CLASSICAL, LEARNED
from .inference.rivals import have_rivals
from .memory import peak_of
from .report import need, parse_options, table
from .rows import Rows

LEARNED_ROW = "learned BP, 16 starts"


def tree_error() -> float:
    """The largest error of belief propagation on random trees of up to 60 variables, of a marginal or of log Z."""
    worst = 0.0
    for seed in range(20):
        generator = mo.core.random.generator(seed)
        count = int(torch.randint(10, 61, (), generator=generator))
        edges = torch.tensor([[int(torch.randint(v, (), generator=generator)), v] for v in range(1, count)])
        table_ = torch.randn(1, 3, 3, count - 1, dtype=torch.float64, generator=generator)
        unary = torch.randn(1, 3 * count, dtype=torch.float64, generator=generator)
        graph = mo.FactorGraph(torch.full((count,), 3), unary, (mo.TableFactors(edges, table_),))
        found = mo.unroll(mo.BeliefPropagation(), 2 * count, keep="last")(graph).final
        exact = mo.exact_marginals(graph)
        worst = max(worst, float((found.log_marginals.exp() - exact.log_marginals.exp()).abs().max()))
        worst = max(worst, abs(float(found.log_z - exact.log_z)))
    return worst


def edges_rows(quick: bool) -> list[dict[str, Any]]:
    """The time of a step for random graphs of more and more edges, three for each variable; cost is linear in them."""
    rows = []
    for edges in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
        generator = mo.core.random.generator(0)
        pairs = torch.randint(edges // 3, (edges, 2), generator=generator)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        factors = mo.TableFactors(pairs, torch.randn(1, 2, 2, len(pairs), generator=generator))
        graph = mo.FactorGraph(torch.full((edges // 3,), 2), torch.zeros(1, 2 * (edges // 3)), (factors,))
        net = mo.unroll(mo.BeliefPropagation(0.5), 10, keep="last")
        with torch.inference_mode():
            net(graph)
            begin = time.perf_counter()
            net(graph)
            rows.append({"edges": 2 * len(pairs), "seconds_per_step": (time.perf_counter() - begin) / 10})
    return rows


def memory_rows(quick: bool) -> list[dict[str, Any]]:
    """The gradient of 200 learned steps on a torus of 400 spins, ten samples: memory and time of two strategies."""
    side, steps = (10, 50) if quick else (20, 200)
    edges = structure("torus", side * side, mo.core.random.generator(0))
    graph = ising(edges, torch.zeros(10, side * side), torch.randn(10, len(edges)) / 2)
    rows = []
    for strategy in (mo.Backprop(), mo.Checkpointed()):
        net = mo.models.learned_bp(steps=steps, gradient=strategy)

        def run(net: Any = net) -> None:
            mo.unroll(net.algorithm, steps, net.gradient, keep="last")(graph).final.log_z.sum().backward()

        begin = time.perf_counter()
        gib = min(peak_of(run)[1] for _ in range(2))
        rows.append({"strategy": type(strategy).__name__, "GiB": gib, "seconds": (time.perf_counter() - begin) / 2})
    return rows


def headline(parts: dict[str, list[dict[str, Any]]]) -> dict[str, float | None]:
    mean = parts["families"][-1]
    classical = min(mean[name] for name in CLASSICAL)
    grids = [r for r in parts["uai"] if r["family"] == "Grids" and r["method"] == LEARNED_ROW]
    found = {(r["set"], r["method"]): r["found"] for r in parts["map"]}
    speed = {r["samples"]: r["ratio"] for r in parts["speed"]}
    ours = "annealed, weight 1.3"
    return {
        "tree_error": parts["trees"][0]["error"],
        "learned_to_best": min(mean[name] for name in (*LEARNED, LEARNED_ROW)) / classical,
        "one_start_to_best": min(mean[name] for name in LEARNED) / classical,
        "damped_starts_to_best": mean["BP, damped, 16 starts"] / classical,
        "constant_starts_to_best": mean["constant weights, 16 starts"] / classical,
        "grids_converged": sum(bool(r["converged"]) for r in grids),
        "grids_total": len(grids),
        "rbm_map_50": found["normal weights", ours],
        "rbm_map_50_pgmax": found.get(("normal weights", "PGMax")),
        "rbm_map_50_logistic": found["logistic weights", ours],
        "rbm_map_50_logistic_pgmax": found.get(("logistic weights", "PGMax")),
        "checkpointed_memory": parts["memory"][1]["GiB"] / parts["memory"][0]["GiB"],
        **{f"pgmax_speed_{n}": speed.get(n) for n in (1, 100, 1000)},
        "pgmpy_speed": parts["pgmpy"][0]["ratio"] if parts["pgmpy"] else None,
    }


def main() -> None:
    options = parse_options(__doc__)
    need(options, [uai.PLACE])
    settings = {"steps": 200, "passes": rbms.PASSES, "weight": rbms.WEIGHT, "rivals": have_rivals()}
    saved = Rows("graphical_models", settings, options)
    parts: dict[str, list[dict[str, Any]]] = {
        "trees": [saved.row("trees", lambda: {"error": tree_error()})],
        "structures": structures.rows_of(options.quick, saved),
        "uai": uai.rows_of(options.quick, saved),
        "map": rbms.map_rows(options.quick, saved),
        "speed": rbms.speed_rows(options.quick, saved) if have_rivals() else [],
        "pgmpy": [saved.row("pgmpy", rbms.pgmpy_row)] if have_rivals() and not options.quick else [],
        "memory": saved.rows("memory", lambda: memory_rows(options.quick)),
        "edges": saved.rows("edges", lambda: edges_rows(options.quick)),
    }
    errors = [[row["instance"], row["method"], row["error"]] for row in parts["uai"]]
    parts["families"] = saved.rows("families", lambda: uai.families(parts["uai"]), given=errors)
    for name, rows in parts.items():
        if rows:
            print(f"\n{name}\n{table(rows)}")
    rows = [{"part": name, **row} for name, part in parts.items() for row in part]
    saved.write(headline(parts), rows, [0, 1])


if __name__ == "__main__":
    main()

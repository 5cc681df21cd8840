"""Citation networks: label propagation, and what opening its places makes of it (GCN, SGC, APPNP, an implicit GNN).

Cora and Citeseer with the public Planetoid split: 20 labelled nodes a class, 500 to validate, 1,000 to test; features
divided by their row sum. Every network is trained from 20 seeds by Adam (the implicit GNN from 10). GCN is Kipf and
Welling's: 2 layers, 16 hidden, rate 0.01, dropout 0.5, L2 5e-4 on the first layer, tested after 200 epochs. The others
are tested at the epoch with the lowest validation loss. *at the other* is what the other of these two rules gives;
nothing is chosen by test nodes. Dropout masks come from a seed and the epoch. APPNP has 64 hidden, teleport 0.1, 10
steps, up to 600 epochs, dropout 0.5 of features, hidden values and edges, and L2 5e-4 on all parameters, with which the
validation loss ends lower than with the paper's 5e-3 on the first layer.

Depth: the same networks with 2 to 64 steps on Cora. The implicit GNN's steps are the most that the search for its fixed
point takes; training is cut off with it.

Time: one epoch (forward, backward, Adam) beside torch_geometric's own layers: same data, widths, dropout rates and
threads, in turn. torch_geometric normalises once (``cached``) and stands there twice, with an edge_index and with a CSR
matrix. It gets dense features; ours are timed with the same dense features (``epoch_ratio_pyg``: the GCN, over the
faster of torch_geometric's two), and as sparse ones, with which everything here is trained. With dense features most of
an epoch is dropout of 3.9 million numbers, which we draw by another generator.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import metaopt as mo
from metaopt.core.gradients import Gcr
from metaopt.data import read_planetoid
from metaopt.models import appnp, gcn, implicit_gnn, sgc

from .report import need, paired, parse_options, table
from .rows import Rows

PLACE = "graphs/planetoid"
NAMES = ("cora", "citeseer")
PATIENCE = 200  # epochs without a better validation after which training stops
DEPTHS = (2, 4, 8, 16, 32, 64)
SOLVER = mo.Implicit(Gcr(tolerance=1e-4, max_steps=30), tolerance=1e-4)
PUBLISHED = {
    ("cora", "GCN"): "81.5",
    ("citeseer", "GCN"): "70.3",
    ("cora", "SGC"): "81.0",
    ("citeseer", "SGC"): "71.9",
    ("cora", "APPNP"): "83.3",
}
FULL: dict[str, Any] = {"names": NAMES, "seeds": 20, "depth_seeds": 3, "depths": DEPTHS, "epochs": 1.0, "rounds": 60}
QUICK: dict[str, Any] = {"names": NAMES, "seeds": 1, "depth_seeds": 1, "depths": (2, 8), "epochs": 0.25, "rounds": 5}


@dataclass(frozen=True)
class Recipe:
    """``build(features, classes, depth)``, its usual depth, and how it is trained; L2 is on ``decayed`` parameters."""

    build: Callable[[int, int, int], nn.Module]
    depth: int
    epochs: int = 200
    rate: float = 0.01
    decay: float = 5e-4
    decayed: tuple[str, ...] = ("",)
    seeds: int = 20
    chosen: bool = True


FIRST_LAYER = ("encode.module.weights.0", "encode.module.biases.0", "mix.module.biases.0")
RECIPES = {
    "GCN": Recipe(lambda f, c, depth: gcn(f, c, layers=depth), 2, decayed=FIRST_LAYER, chosen=False),
    "SGC": Recipe(lambda f, c, depth: sgc(f, c, depth), 2, epochs=100, rate=0.2, decay=1.3e-5),
    "APPNP": Recipe(lambda f, c, depth: appnp(f, c, steps=depth), 10, epochs=600),
    "implicit GNN": Recipe(
        lambda f, c, depth: implicit_gnn(f, c, hidden=16, steps=depth, gradient=SOLVER),
        32,
        decayed=("encode.weights.0", "encode.biases.0"),
        seeds=10,
    ),
}
TABLES = ("accuracy", "depth", "time")
SPREADS, SPREAD_STEPS = (0.8, 0.9, 0.95, 0.99), 50


@dataclass(frozen=True)
class Network:
    """One citation network, ready to train on."""

    data: Any
    problem: mo.GraphSignal
    classes: int


def load(name: str) -> Network:
    data = read_planetoid(PLACE, name)
    data.x = data.x / data.x.sum(1, keepdim=True).clamp_min(1.0)
    return Network(data, mo.GraphSignal.from_data(data), int(data.y.max()) + 1)


def accuracy(scores: torch.Tensor, data: Any, mask: torch.Tensor) -> float:
    return 100 * float((scores[mask].argmax(1) == data.y[mask]).float().mean())


def tested_accuracy(scores: torch.Tensor, data: Any) -> float:
    return accuracy(scores, data, data.test_mask)


def optimizer_of(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    named = list(net.named_parameters())
    decayed = [p for name, p in named if any(part in name for part in recipe.decayed)]
    rest = [p for _, p in named if not any(p is q for q in decayed)]
    groups = [{"params": decayed, "weight_decay": recipe.decay}, {"params": rest}]
    return torch.optim.Adam([group for group in groups if group["params"]], lr=recipe.rate)


def epoch_of(net: Any, optimizer: torch.optim.Optimizer, given: Network, seed: int, problem: mo.GraphSignal) -> None:
    data = given.data
    net.train()
    optimizer.zero_grad()
    scores = net(problem.with_seed(seed)).final
    F.cross_entropy(scores[data.train_mask], data.y[data.train_mask]).backward()
    optimizer.step()


def trained(recipe: Recipe, given: Network, depth: int, seed: int, scale: float) -> tuple[float, float]:
    """Test accuracy at the epoch that validation chooses, and at the last one."""
    data, problem = given.data, given.problem.sparse()
    with mo.foundation.drawing.drawing_from(seed):
        net: Any = recipe.build(data.x.shape[1], given.classes, depth)
    optimizer, best, since = optimizer_of(net, recipe), (float("inf"), 0.0), 0
    for epoch in range(max(2, round(scale * recipe.epochs))):
        epoch_of(net, optimizer, given, mo.core.random.derive(seed, epoch), problem)
        net.eval()
        with torch.no_grad():
            scores = net(problem).final
        loss, last = float(F.cross_entropy(scores[data.val_mask], data.y[data.val_mask])), tested_accuracy(scores, data)
        if loss < best[0]:
            best, since = (loss, last), epoch
        if epoch - since >= PATIENCE:
            break
    return best[1], last


def summary(runs: list[tuple[float, float]], chosen: bool = True) -> dict[str, Any]:
    """Mean and spread at the ``chosen`` epoch, or else at the last; and the mean at the other of the two."""
    at_chosen, at_last = (list(tested) for tested in zip(*runs, strict=True))
    tested, other = (at_chosen, at_last) if chosen else (at_last, at_chosen)
    return {
        "accuracy": statistics.mean(tested),
        "sd": statistics.stdev(tested) if len(tested) > 1 else 0.0,
        "epoch": "chosen" if chosen else "last",
        "at the other": statistics.mean(other),
        "tested": tested,
    }


def labels_spread(given: Network) -> dict[str, Any]:
    """Label propagation, its spread chosen by validation; it sees no features and draws nothing."""
    data = given.data
    problem = mo.GraphSignal.from_edges(
        mo.problems.known_labels(data.y, data.train_mask, given.classes), data.edge_index
    )
    with torch.no_grad():
        reached = {s: mo.unroll(mo.algorithms.label_propagation(s), SPREAD_STEPS)(problem).final for s in SPREADS}
    spread = max(SPREADS, key=lambda s: accuracy(reached[s], data, data.val_mask))
    return {**summary([(tested_accuracy(reached[spread], data),) * 2]), "spread": spread}


class PygGcn(nn.Module):
    def __init__(self, features: int, classes: int):
        from torch_geometric.nn import GCNConv

        super().__init__()
        self.first, self.second = GCNConv(features, 16, cached=True), GCNConv(16, classes, cached=True)

    def forward(self, x: torch.Tensor, edges: Any) -> torch.Tensor:
        h = self.first(F.dropout(x, 0.5, self.training), edges).relu()
        return self.second(F.dropout(h, 0.5, self.training), edges)


class PygAppnp(nn.Module):
    def __init__(self, features: int, classes: int):
        from torch_geometric.nn import APPNP

        super().__init__()
        self.first, self.second = nn.Linear(features, 64), nn.Linear(64, classes)
        self.spread = APPNP(K=10, alpha=0.1, dropout=0.5, cached=True)

    def forward(self, x: torch.Tensor, edges: Any) -> torch.Tensor:
        h = self.first(F.dropout(x, 0.5, self.training)).relu()
        return self.spread(self.second(F.dropout(h, 0.5, self.training)), edges)


def pyg_epoch(net: nn.Module, given: Network, edges: Any) -> Callable[[], None]:
    data, optimizer = given.data, torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)

    def epoch() -> None:
        net.train()
        optimizer.zero_grad()
        scores = net(data.x, edges)
        F.cross_entropy(scores[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()

    return epoch


def our_epoch(name: str, given: Network, problem: mo.GraphSignal) -> Callable[[], None]:
    recipe = RECIPES[name]
    net = recipe.build(given.data.x.shape[1], given.classes, recipe.depth)
    optimizer = optimizer_of(net, recipe)
    return lambda: epoch_of(net, optimizer, given, 0, problem)


def timings(name: str, given: Network, rounds: int) -> list[dict[str, Any]]:
    """Times of an epoch, and their ratios to torch_geometric's with an edge_index."""
    from torch_geometric.utils import to_torch_csr_tensor

    data = given.data
    kind = {"GCN": PygGcn, "APPNP": PygAppnp}[name]
    csr = to_torch_csr_tensor(data.edge_index.flip(0), size=(len(data.x), len(data.x)))
    rivals = {
        "torch_geometric, edge_index": pyg_epoch(kind(data.x.shape[1], given.classes), given, data.edge_index),
        "torch_geometric, CSR": pyg_epoch(kind(data.x.shape[1], given.classes), given, csr),
        "ours, dense features": our_epoch(name, given, given.problem),
        "ours, sparse features": our_epoch(name, given, given.problem.sparse()),
    }
    return [{"code": code, **taken} for code, taken in paired(rivals, rounds).items()]


def accuracy_rows(given: dict[str, Network], size: dict[str, Any], saved: Rows) -> list[dict[str, Any]]:
    rows = []
    for name, network in given.items():
        methods: dict[str, Callable[[], dict[str, Any]]] = {"label propagation": lambda n=network: labels_spread(n)}
        for method, recipe in RECIPES.items():
            methods[method] = lambda n=network, r=recipe: summary(
                [trained(r, n, r.depth, seed, size["epochs"]) for seed in range(min(size["seeds"], r.seeds))], r.chosen
            )
        for method, compute in methods.items():
            found = saved.row(f"{name} {method}", compute, [PLACE])
            rows.append({"data": name, "method": method, **found, "published": PUBLISHED.get((name, method), "")})
            print(f"{name} {method}: {found['accuracy']:.2f} +- {found['sd']:.2f}", flush=True)
    return rows


def depth_rows(network: Network, size: dict[str, Any], saved: Rows) -> list[dict[str, Any]]:
    rows = []
    for method in ("GCN", "APPNP", "implicit GNN"):
        for depth in size["depths"]:
            found = saved.row(
                f"{method} depth {depth}",
                lambda m=method, d=depth: summary(
                    [trained(RECIPES[m], network, d, seed, size["epochs"]) for seed in range(size["depth_seeds"])],
                    RECIPES[m].chosen,
                ),
                [PLACE],
            )
            rows.append({"data": "cora", "method": method, "depth": depth, **found})
            print(f"{method}, {depth} steps: {found['accuracy']:.2f} +- {found['sd']:.2f}", flush=True)
    return rows


def time_rows(network: Network, size: dict[str, Any], saved: Rows) -> list[dict[str, Any]]:
    rows = []
    for method in ("GCN", "APPNP"):
        found = saved.rows(f"{method} time", lambda m=method: timings(m, network, size["rounds"]), [PLACE])
        rows += [{"data": "cora", "method": method, **row} for row in found]
    return rows


def headline(rows: list[dict[str, Any]], timed: list[dict[str, Any]]) -> dict[str, float]:
    """``epoch_ratio_pyg``: the GCN with the same dense features, over the faster of torch_geometric's two."""
    at = {(row["data"], row["method"]): row["accuracy"] for row in rows}
    seconds = {row["code"]: row["seconds"] for row in timed if row["method"] == "GCN"}
    fastest = min(taken for code, taken in seconds.items() if code.startswith("torch_geometric"))
    return {
        "gcn_cora": round(at["cora", "GCN"], 2),
        "gcn_citeseer": round(at["citeseer", "GCN"], 2),
        "appnp_cora": round(at["cora", "APPNP"], 2),
        "epoch_ratio_pyg": round(seconds["ours, dense features"] / fastest, 3),
    }


def main() -> None:
    options = parse_options(__doc__)
    need(options, [PLACE], ["torch_geometric"])
    size = QUICK if options.quick else FULL
    settings = {
        **size,
        "recipes": {n: [r.depth, r.epochs, r.rate, r.decay, r.decayed, r.seeds, r.chosen] for n, r in RECIPES.items()},
        "patience": PATIENCE,
        "spreads": SPREADS,
        "spread_steps": SPREAD_STEPS,
        "solver": repr(SOLVER),
    }
    # A search cut off at 2 steps says that it has not converged, and torch that CSR is in beta.
    warnings.simplefilter("ignore")
    saved = Rows("citation", settings, options)
    given = {name: load(name) for name in size["names"]}
    timed = time_rows(given["cora"], size, saved)
    rows = accuracy_rows(given, size, saved)
    deep = depth_rows(given["cora"], size, saved)
    print("\n" + table(rows, ["data", "method", "accuracy", "sd", "published", "epoch", "at the other", "spread"]))
    print("\n" + table(deep, ["method", "depth", "accuracy", "sd"]))
    print("\n" + table(timed, ["method", "code", "seconds", "ratio", "ratio_low", "ratio_high"]) + "\n")
    every = [{"table": name, **row} for name, found in zip(TABLES, (rows, deep, timed), strict=True) for row in found]
    saved.write(headline(rows, timed), every, range(size["seeds"]))


if __name__ == "__main__":
    main()

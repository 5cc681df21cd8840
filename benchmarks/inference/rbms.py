"""The likeliest states of restricted Boltzmann machines, and how fast: PGMax's own benchmark, run beside it.

Machines of as many hidden as visible units, W and biases as that benchmark draws them, W standard normal; and a harder
set with logistic weights. 200 message passes and one decode each. Both see the same machines. Our schedule was chosen
on machines of other seeds: belief propagation with weight 1.3, whose temperature falls from 1 to 0.05.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

import metaopt as mo

from ..report import paired
from ..rows import Rows
from .rivals import have_rivals, pgmpy_states, use_jax

PASSES, DAMPING = 200, 0.5
WEIGHT, WARM, COLD = 1.3, 1.0, 0.05
SETS = {"normal weights": "standard_normal", "logistic weights": "logistic"}
PGMPY_UNITS = 60  # at 200 it takes hours
CHUNK = 8  # samples at a time: what they need stays in the processor's cache


def machines(weights: str, count: int, units: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """W (count, h, h), and the biases of hidden and visible units (count, h), float64."""
    random = np.random.RandomState(seed)
    half, drawn = units // 2, []
    for _ in range(count):
        draw = getattr(random, weights)
        drawn.append((draw(size=(half, half)), random.logistic(size=half), random.logistic(size=half)))
    w, hidden, visible = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
    return w, hidden, visible


def graph_of(w: Tensor, hidden: Tensor, visible: Tensor) -> mo.FactorGraph:
    """log p = hidden . h + visible . v + h W v + constant, h and v of zeros and ones."""
    half = w.shape[1]
    pairs = torch.cartesian_prod(torch.arange(half), half + torch.arange(half))
    table = w.new_zeros(len(w), 2, 2, half * half)
    table[:, 1, 1] = w.flatten(1)
    biases = torch.cat([hidden, visible], dim=1)
    unary = torch.stack([torch.zeros_like(biases), biases], dim=-1).flatten(1)
    return mo.FactorGraph(torch.full((2 * half,), 2), unary, (mo.TableFactors(pairs, table),))


def best(w: Tensor, hidden: Tensor, visible: Tensor) -> Tensor:
    """The largest log potential of each machine, by enumerating the hidden units."""
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=w.shape[1])), dtype=w.dtype)
    fields = torch.einsum("xh,nhv->nxv", states, w) + visible[:, None]
    return (fields.clamp_min(0).sum(-1) + torch.einsum("xh,nh->nx", states, hidden)).amax(1)


def annealed() -> mo.BeliefPropagation:
    temperatures = [WARM * (COLD / WARM) ** (k / (PASSES - 1)) for k in range(PASSES)]
    return mo.BeliefPropagation(DAMPING, mo.fixed(temperatures), WEIGHT)


def max_product() -> mo.BeliefPropagation:
    return mo.BeliefPropagation(DAMPING, marginalize=mo.problems.log_max)


@torch.inference_mode()
def decoded(algorithm: mo.BeliefPropagation, graph: mo.FactorGraph) -> Tensor:
    return graph.decode(mo.unroll(algorithm, PASSES, keep="last")(graph).final.log_marginals)


def map_rows(quick: bool, saved: Rows) -> list[dict[str, Any]]:
    def compute(weights: str) -> list[dict[str, Any]]:
        drawn = machines(weights, 10 if quick else 50, 24)
        graph, top = graph_of(*drawn), best(*drawn)
        answers = {"annealed, weight 1.3": decoded(annealed(), graph), "max-product": decoded(max_product(), graph)}
        if have_rivals():
            w, hidden, visible = (part.numpy() for part in drawn)
            answers["PGMax"] = torch.from_numpy(Pgmax(w.shape[1])(w, hidden, visible)).long()
        return [
            {"method": name, "found": int((graph.log_potential(states)[:, 0] >= top - 1e-6).sum()), "of": len(top)}
            for name, states in answers.items()
        ]

    found = []
    for label, weights in SETS.items():
        found += [{"set": label, **row} for row in saved.rows(f"map {label}", lambda w=weights: compute(w))]
    return found


class Pgmax:
    """PGMax's max-product of machines of one size, compiled once; weights differ from call to call."""

    def __init__(self, half: int):
        self.jax = use_jax()
        from pgmax import fgraph, fgroup, infer, vgroup

        self.infer = infer
        self.hidden, self.visible = (vgroup.NDVarArray(num_states=2, shape=(half,)) for _ in range(2))
        graph = fgraph.FactorGraph(variable_groups=[self.hidden, self.visible])
        pairs = [[self.hidden[i], self.visible[j]] for i in range(half) for j in range(half)]
        self.group = fgroup.PairwiseFactorGroup(variables_for_factors=pairs, log_potential_matrix=np.zeros((2, 2)))
        graph.add_factors(self.group)
        self.inferer = infer.build_inferer(graph.bp_state, backend="bp")
        self.run = self.jax.jit(self.jax.vmap(self._one))

    def _one(self, matrix: Any, hidden: Any, visible: Any) -> Any:
        arrays = self.inferer.init(
            log_potentials_updates={self.group: matrix},
            evidence_updates={self.hidden: hidden, self.visible: visible},
        )
        arrays = self.inferer.run(arrays, num_iters=PASSES, damping=DAMPING, temperature=0.0)
        states = self.infer.decode_map_states(self.inferer.get_beliefs(arrays))
        return states[self.hidden], states[self.visible]

    def __call__(self, w: np.ndarray, hidden: np.ndarray, visible: np.ndarray) -> np.ndarray:
        half = w.shape[1]
        matrix = np.zeros((len(w), half * half, 2, 2))
        matrix[:, :, 1, 1] = w.reshape(len(w), -1)
        biases = [np.stack([np.zeros_like(b), b], axis=-1) for b in (hidden, visible)]
        h, v = self.jax.block_until_ready(self.run(matrix, *biases))
        return np.concatenate([np.asarray(h), np.asarray(v)], axis=1)


def speed_rows(quick: bool, saved: Rows) -> list[dict[str, Any]]:
    """200 units, 10,000 factors: the same machine, with other biases for every sample; compiled before."""
    found = []
    for samples in (1,) if quick else (1, 100, 1000):
        found.append({"samples": samples, **saved.row(f"speed {samples}", lambda n=samples: timed(n))})
    return found


def timed(samples: int) -> dict[str, Any]:
    w, *_ = machines("standard_normal", 1, 200)
    _, hidden, visible = machines("standard_normal", samples, 200, seed=1)
    every = w.expand(samples, -1, -1).numpy()
    runner, biases = Pgmax(100), (hidden.numpy(), visible.numpy())
    begin = time.perf_counter()
    runner(every, *biases)
    first = time.perf_counter() - begin

    graph = graph_of(w.float(), hidden[:1].float(), visible[:1].float())

    def ours() -> Tensor:
        return decoded_in_chunks(graph, hidden.float(), visible.float())

    rounds = {1: 7, 100: 3}.get(samples, 1)
    taken = paired({"metaopt": ours, "PGMax": lambda: runner(every, *biases)}, rounds, warmup=int(samples < 1000))
    return {
        "seconds": taken["metaopt"]["seconds"],
        "pgmax_seconds": taken["PGMax"]["seconds"],
        "ratio": taken["PGMax"]["ratio"],
        "pgmax_compile_seconds": first - taken["PGMax"]["seconds"],
    }


def decoded_in_chunks(graph: mo.FactorGraph, hidden: Tensor, visible: Tensor) -> Tensor:
    biases = torch.cat([hidden, visible], dim=1)
    unary = torch.stack([torch.zeros_like(biases), biases], dim=-1).flatten(1)
    return torch.cat([decoded(max_product(), graph.with_unary(part)) for part in unary.split(CHUNK)])


def pgmpy_row() -> dict[str, Any]:
    """One machine of 60 units by pgmpy's max-product linear programming (its `Mplp`), and by ours."""
    w, hidden, visible = machines("standard_normal", 1, PGMPY_UNITS)
    graph = graph_of(w, hidden, visible)
    states, seconds = pgmpy_states(w[0].numpy(), hidden[0].numpy(), visible[0].numpy())
    taken = paired({"metaopt": lambda: decoded(max_product(), graph)}, 5)["metaopt"]["seconds"]
    value = float(graph.log_potential(torch.tensor([states])))
    return {
        "units": PGMPY_UNITS,
        "seconds": taken,
        "pgmpy_seconds": seconds,
        "ratio": seconds / taken,
        "pgmpy_below_ours": float(graph.log_potential(decoded(max_product(), graph))) - value,
    }

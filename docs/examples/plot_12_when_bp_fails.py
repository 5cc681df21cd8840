"""
When belief propagation fails, and what repairs it
==================================================

On a tree belief propagation is exact. On a graph with cycles a message comes back to where it started, and is counted
as if it were news. While couplings are weak that matters little; as they grow, beliefs become too sure, then there are
several fixed points, then none that the iteration finds. This page looks at all three, and at a network that was
trained on some twenty thousand generated models to do better.
"""

import matplotlib.pyplot as plt
import torch

import metaopt as mo
from metaopt.losses import marginal_error
from metaopt.tasks import ising, structure
from metaopt.tasks.batch_marginals import batch_marginals

# %%
# Two cycles
# ----------
# Spins on a ring of four, all of which want to be equal, with a small field at one of them. The ring is frustrated if
# one of its couplings wants the opposite. The exact answer is one elimination away.

ring = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])
field = torch.tensor([[0.2, 0.0, 0.0, 0.0]], dtype=torch.float64)
for name, last in (("ferromagnet", 1.0), ("frustrated", -1.0)):
    coupling = torch.tensor([[1.0, 1.0, 1.0, last]], dtype=torch.float64)
    graph = ising(ring, field, coupling)
    exact, _ = batch_marginals(graph)
    found = mo.unroll(mo.BeliefPropagation(0.5), 100)(graph).final.log_marginals.exp()
    print(f"{name}: p(spin 0 is up) exact {exact[0, 1]:.3f}, belief propagation {found[0, 1]:.3f}")

# %%
# A torus, stronger and stronger
# ------------------------------
# Eight models for each strength, couplings and fields normal. For every method: the error of its marginals (total
# variation), and in how many models it converged, which means that an undamped step changes no message by more than
# 1e-4. *Learned BP* is belief propagation whose messages' damping and whose factors' weights are networks
# (:func:`metaopt.models.learned_bp`), trained on generated models to do well within 40 steps; its weights come with the
# package. *Learned, 8 starts* joins the fixed points that random starts find by what each says of Z, with the learned
# weights and ever larger ones where none is found (:func:`metaopt.models.many_starts`). *Constant, 8 starts* is the
# same with constant weights from 1.25 to 4, with nothing learned.

edges = structure("torus", 36, torch.Generator().manual_seed(0))
generator = torch.Generator().manual_seed(1)
fields = torch.randn(8, 36, generator=generator, dtype=torch.float64)
couplings = torch.randn(8, len(edges), generator=generator, dtype=torch.float64)
strengths = [0.2, 0.5, 1.0, 1.5, 2.5, 4.0]
learned = mo.models.load("learned_bp").double()
errors, converged = {}, {}


def note(name, error, residual):
    errors.setdefault(name, []).append(float(error))
    converged.setdefault(name, []).append(float((residual < 1e-4).double().mean()))


for strength in strengths:
    graph = ising(edges, 0.3 * fields, strength * couplings)
    exact, _ = batch_marginals(graph)
    methods = {
        "BP": (mo.BeliefPropagation(), 100),
        "BP, damped": (mo.BeliefPropagation(0.5), 100),
        "TRW": (mo.BeliefPropagation(0.5, weight=mo.algorithms.tree_weights(graph)), 100),
        "mean field": (mo.MeanField(colors=mo.algorithms.coloring(graph)), 100),
        "learned BP": (learned.algorithm, 20),
    }
    for name, (algorithm, steps) in methods.items():
        with torch.no_grad():
            run = mo.unroll(algorithm, steps, keep="last")(graph)
            note(name, marginal_error(run.final, exact), algorithm.residual(graph, run.state, run.stop - 1))
    for name, network in (("learned, 8 starts", learned), ("constant, 8 starts", None)):
        starts = mo.models.many_starts(network, steps=100, starts=8)
        each = [starts(ising(edges, 0.3 * fields[i : i + 1], strength * couplings[i : i + 1])) for i in range(8)]
        mean = sum(marginal_error(beliefs, exact[i : i + 1]) for i, (beliefs, _) in enumerate(each)) / 8
        note(name, mean, torch.stack([residual.min() for _, residual in each]))

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4), layout="constrained")
for name in errors:
    thick = 2.2 if name in ("learned BP", "learned, 8 starts") else 1.2
    left.plot(strengths, errors[name], label=name, linewidth=thick)
    right.plot(strengths, converged[name], label=name, linewidth=thick)
left.set(ylabel="error of the marginals", xlabel="strength of the couplings", xscale="log")
right.set(ylabel="share of models that converged", xlabel="strength of the couplings", xscale="log", ylim=(-0.03, 1.03))
left.legend(frameon=False, fontsize=8)
for axis in (left, right):
    axis.set_xticks(strengths, [str(s) for s in strengths])
    axis.minorticks_off()
    axis.grid(alpha=0.25)

# %%
for name, values in errors.items():
    print(f"{name:14s} error at strength 1: {values[2]:.3f}, at 2.5: {values[4]:.3f}, at 4: {values[5]:.3f}")

# %%
# What to do
# ----------
# Look at the residual before the answer. Damp first; where that does not converge, tree weights give up exactness on
# trees for a convex problem, whose beliefs are not sure enough. The learned network is made for few steps, where the
# others are still on their way or already astray. Where there are many fixed points, or none, what helps is many starts
# and larger weights; learned or constant makes little difference. No residual says how wrong a fixed point is:
# :func:`metaopt.applications.inference.infer` compares approximations with each other, and with bounds of log Z.
# Where the graph is not much wider than a tree, ask for ``exact``; where it is somewhat wider,
# :func:`metaopt.join_graph` sums as much as memory allows exactly and passes messages between the clusters:

graph = ising(edges, 0.3 * fields, 1.5 * couplings)
exact, _ = batch_marginals(graph)
order = mo.algorithms.junction_tree([2] * 36, edges.tolist()).position
order = sorted(range(36), key=lambda variable: order[variable])
for limit in (4, 64, 1024, 2**20):
    joined = mo.algorithms.join_graph(graph, order, limit)
    run = mo.unroll(mo.BeliefPropagation(0.5), 60, keep="last")(joined)
    print(f"at most {limit} entries a cluster: error {float(marginal_error(run.final, exact)):.4f}")

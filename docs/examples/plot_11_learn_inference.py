"""
Make inference learnable
========================

Belief propagation is an iteration with places that may be learned: how far each message moves, how much a factor
counts, the temperature, and the messages themselves. They are slots, opened as in any other algorithm here.
"""

import matplotlib.pyplot as plt
import torch

import metaopt as mo
from metaopt.losses import marginal_error
from metaopt.tasks import RandomFields

# %%
# Many inference problems
# -----------------------
# Each batch is one random structure with 32 samples of couplings and fields, and their exact marginals: spin glasses on
# grids, tori and random graphs.

task = RandomFields(structures=["grid", "torus", "regular"], variables=(9, 12), couplings=(0.5, 3.0), batch=32)
graph, marginals = task.sample(0)
print(f"{len(graph.cardinalities)} variables, {len(graph.factors[0].variables)} factors, marginals {marginals.shape}")

# %%
# Open the slots
# --------------
# Classical belief propagation, damped, for 12 steps; and the same with a damping and a temperature for every step, one
# weight for all factors, and a correction of every message that depends on how it has moved so far. Before training
# both compute the same, to the rounding of the constraints.

classical = mo.BeliefPropagation(damping=0.5)
torch.manual_seed(0)
opened = mo.parameterize(
    mo.BeliefPropagation(damping=0.5, correction=mo.networks.LearnedDamping()),
    {
        "damping": mo.per_step(12, interval=(0.0, 1.0)),
        "temperature": mo.per_step(12, positive=True),
        "weight": mo.shared(positive=True),
    },
)
net = mo.unroll(opened, steps=12)
with torch.no_grad():
    both = [mo.unroll(algorithm, 12)(graph).final.log_marginals for algorithm in (classical, opened)]
print("the largest difference before training:", float((both[0] - both[1]).abs().max()))

# %%
# Train: backpropagate through the messages
# -----------------------------------------

optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
for seed in range(200):
    graph, marginals = task.sample(seed)
    loss = mo.trajectory_loss(net(graph), marginals, marginal_error, weights="linear")
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
print("learned weight of a factor:", round(net.algorithm.weight(0).item(), 3))

# %%
# What was learned
# ----------------
# On structures and potentials that training has not seen, step by step. Mean field and a graph network that never sees
# belief propagation are algorithms like the others, and can be trained by the same loop.

held = [task.sample(10_000 + i) for i in range(12)]


def errors(run):
    with torch.no_grad():
        paths = [[float(marginal_error(o, m)) for o in run(g).outputs] for g, m in held]
    return torch.tensor(paths).mean(0)


curves = {
    "BP": errors(mo.unroll(mo.BeliefPropagation(), 12)),
    "BP, damped": errors(mo.unroll(classical, 12)),
    "mean field": errors(lambda g: mo.unroll(mo.MeanField(colors=mo.algorithms.coloring(g)), 12)(g)),
    "learned BP": errors(net),
}
print("after 12 steps:", {name: round(float(curve[-1]), 3) for name, curve in curves.items()})
figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained")
for name, curve in curves.items():
    left.plot(range(1, 13), curve, label=name)
left.set(xlabel="step", ylabel="error of the marginals")
left.set_ylim(bottom=0)
left.legend(frameon=False, fontsize=8, loc=(0.6, 0.56))
steps = range(12)
right.plot(steps, [float(net.algorithm.damping(k).detach()) for k in steps], label="damping")
right.plot(steps, [float(net.algorithm.temperature(k).detach()) for k in steps], label="temperature")
right.set(xlabel="step", ylabel="learned value")
right.legend(frameon=False, fontsize=8)
for axis in (left, right):
    axis.grid(alpha=0.25)

# %%
# The error is the total variation distance, averaged over variables. For weights that were trained for longer, on many
# kinds of models, see :doc:`the next page </gallery/plot_12_when_bp_fails>`; the recipe is
# ``benchmarks/graphical_training.py`` in the repository.
#
# A correction of your own
# ------------------------
# What stands in the ``correction`` slot is a module with two methods: ``init`` makes its memory, and ``forward`` is
# given what belief propagation proposes, the present messages, the memory, the graph and the step.


class Momentum(torch.nn.Module):
    def __init__(self, share):
        super().__init__()
        self.share = mo.slot(share)

    def init(self, problem, messages):
        return torch.zeros_like(messages)

    def forward(self, proposed, messages, memory, problem, k):
        step = proposed - messages + self.share(k) * memory
        return messages + step, step


curves = errors(mo.unroll(mo.BeliefPropagation(0.5, correction=Momentum(mo.shared(0.3))), 12))
print("with momentum, after 12 steps:", round(float(curves[-1]), 3))

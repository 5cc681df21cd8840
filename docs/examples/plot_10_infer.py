"""
From a UAI file to marginals
============================

A discrete model is a product of tables: what follows from an observation is a matter of sums, and of how many there
are. This page writes a model down in the UAI format, asks for marginals, log Z and the likeliest assignment, and shows
how an answer says whether it can be trusted.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import metaopt as mo
from metaopt.applications.inference import infer
from metaopt.data import UaiModel, factor_graph, read_uai, uai_model, write_uai

# %%
# A model
# -------
# Rain, a sprinkler, and wet grass at two houses; the second house has no sprinkler. Each factor is a tuple of variables
# and a table whose axes are theirs. The file that results is plain text; every UAI model can be read the same way.

rain, sprinkler, here, there = range(4)
tables = {
    (rain,): [0.8, 0.2],
    (rain, sprinkler): [[0.6, 0.4], [0.99, 0.01]],
    (rain, sprinkler, here): [[[1.0, 0.0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]],
    (rain, there): [[1.0, 0.0], [0.2, 0.8]],
}
model = UaiModel([2, 2, 2, 2], list(tables), [np.array(t) for t in tables.values()], kind="BAYES")
file = Path(tempfile.mkdtemp()) / "grass.uai"
write_uai(file, model)
print(file.read_text())

# %%
# The grass is wet here. Did it rain? Without any word from the other house, and when its grass is dry:

for evidence in ({here: 1}, {here: 1, there: 0}):
    answer = infer(read_uai(file), evidence, task="MAR", method="bp")
    print(evidence, "p(rain) =", answer.marginals[rain][1].round(4), "-", answer.verdict("MAR", "bp"))

# %%
# The same from the command line, where ``--evidence`` names a file:
#
# .. code-block:: console
#
#    $ metaopt infer grass.uai --task MAR
#    $ metaopt infer grass.uai --evidence grass.evid --task MAP --method exact
#    $ metaopt infer grass.uai --task PR --method trw --strict   # exit status 3 unless it is supported
#
# Methods
# -------
# By default (``auto``) the answer is exact where memory allows, and otherwise comes from many starts. ``exact`` is a
# junction tree, and says how large its tables would be where they are too large. The others are
# iterations on a :class:`~metaopt.FactorGraph`: belief propagation (``bp``), tree-reweighted (``trw``, whose log Z is
# an upper bound), mean field (``mf``, a lower bound), and belief propagation from many starts, with constant weights
# (``many-starts``) or learned ones (``learned``) where it does not converge. An approximate answer that has converged
# may still be wrong, so the verdict says how far others disagree with it, and ``--strict`` asks that they agree. Here
# they are on a grid of spins, whose couplings get stronger and stronger:

edges = mo.tasks.structure("grid", 25, torch.Generator().manual_seed(0))
generator = torch.Generator().manual_seed(1)
fields, couplings = (torch.randn(1, n, generator=generator, dtype=torch.float64) for n in (25, len(edges)))
strengths = [0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0]
found = {name: [] for name in ("exact", "bp", "trw", "mf")}
for strength in strengths:
    graph = mo.tasks.ising(edges, 0.5 * fields, strength * couplings)
    spins = uai_model(graph)
    for name in found:
        found[name].append(infer(spins, task="PR", method=name))

figure, axis = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
exact = np.array([a.log10_z for a in found["exact"]])
for name in ("bp", "trw", "mf"):
    values = np.array([a.log10_z for a in found[name]]) - exact
    (line,) = axis.plot(strengths, values, label=name)
    for strength, value, answer in zip(strengths, values, found[name], strict=True):
        filled = "full" if answer.converged else "none"
        axis.plot(strength, value, "o", color=line.get_color(), fillstyle=filled)
axis.set(xlabel="strength of the couplings", ylabel="log10 Z, minus the exact one")
axis.legend(frameon=False)
axis.grid(alpha=0.25)

# %%
# Open circles did not converge. The bounds hold on either side; belief propagation is nearest to the truth while it
# converges, and worth nothing on its own word when it does not: that is why every answer carries its residual.
#
# On tensors
# ----------
# A graph is a frozen dataclass of tensors. Messages are one flat vector over the states of all edges; a batch of
# potentials shares one structure, and graphs of different structure stand side by side in a union.

graph = factor_graph(model)
run = mo.unroll(mo.BeliefPropagation(), steps=4)(graph.observe({here: 1}))
print(run.final.log_marginals.exp().reshape(-1, 2)[rain])
both = mo.FactorGraph.union([graph, graph.observe({here: 1})])
print("log Z of both:", mo.unroll(mo.BeliefPropagation(), 4)(both).final.log_z)

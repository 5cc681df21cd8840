"""
A graph network is label propagation with open slots
====================================================

Two members of a karate club fell out, and every other member went with one of them (Zachary, 1977). Knowing only who
met whom, and the two, who went where? Label propagation answers that, and nothing in it is learned. This page opens its
places one after the other until it is a graph convolutional network, in 20 lines.
"""

import matplotlib.pyplot as plt
import networkx
import torch
import torch.nn.functional as F
from torch import nn

import metaopt as mo

# %%
# The problem
# -----------
# A :class:`~metaopt.GraphSignal` is what every node knows, x, and the adjacency A along which it spreads, normalised
# and sparse. Here x holds the known labels, one-hot: a 1 for each of the two, and nothing for the others.

club = networkx.karate_club_graph()
edges = torch.tensor(list(club.edges)).T
edges = torch.cat([edges, edges.flip(0)], dim=1)
side = torch.tensor([int(club.nodes[n]["club"] != "Mr. Hi") for n in club])
known = torch.tensor([0, 33])
labels = mo.GraphSignal.from_edges(mo.problems.known_labels(side, known), edges)

# %%
# Label propagation
# -----------------
# Each step everybody takes the mean of their neighbours, and the two say again what they are:
# H <- (1 - teleport) A H + teleport H_0. That is all that :class:`~metaopt.Propagation` does.

spreading = mo.Propagation(encode=nn.Identity(), decode=nn.Identity(), teleport=0.1)
trajectory = mo.unroll(spreading, steps=10)(labels)


def right(scores):
    return (scores.argmax(1) == side).double().mean().item()


for step in (0, 1, 3, 9):
    print(f"after {step + 1:2} steps {right(trajectory.outputs[step]):.0%} are on the side they took")

# %%
# Its slots
# ---------
# The general step is H <- activation((1 - teleport) mix(A H) + teleport H_0), from H_0 = encode(x), and what is read is
# decode(H). The classical algorithm has the identity in every place but one:

print(sorted(mo.core.slots(spreading)))

# %%
# Opened as they are, nothing changes before training, here with a teleport for every step:

opened = mo.parameterize(spreading, {"teleport": mo.per_step(10)})
with torch.no_grad():
    print("same as before:", torch.equal(mo.unroll(opened, steps=10)(labels).final, trajectory.final))

# %%
# A GCN
# -----
# Now x is not the labels but features, which must be *encoded* to something worth spreading. We know nothing of the
# members but their name, so x is the identity matrix. Put a matrix W_1 into ``encode``, a matrix W_2 into ``decode``, a
# bias and a ReLU into ``mix``, leave out the teleport, and two steps are A relu(A X W_1 + b_1) W_2 + b_2: the GCN of
# Kipf and Welling, whose widths are equal inside because A (H W) = (A H) W.


class BiasAndReLU(nn.Module):
    """In the first step; the second is left to ``decode``. Any ``nn.Module`` may mix; this one must know the step."""

    def __init__(self, width):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def at_step(self, k):
        return (lambda h: torch.relu(h + self.bias)) if k == 0 else (lambda h: h)


torch.manual_seed(0)
members = labels.with_x(torch.eye(len(side)))
propagation = mo.Propagation(nn.Linear(34, 16, bias=False), nn.Linear(16, 2), mix=BiasAndReLU(16))
gcn = mo.unroll(propagation, steps=2)
optimizer = torch.optim.Adam(gcn.parameters(), lr=0.01, weight_decay=5e-4)
for _ in range(200):
    optimizer.zero_grad()
    F.cross_entropy(gcn(members).final[known], side[known]).backward()
    optimizer.step()
with torch.no_grad():
    scores = gcn(members).final
print(f"trained on two labels, the GCN has {right(scores):.0%} right")

# %%
# Those are the 20 lines. :func:`metaopt.models.gcn` is the same for any number of layers with dropout,
# :func:`metaopt.models.sgc` leaves out the ReLU, :func:`metaopt.models.appnp` is label propagation of a network's
# predictions, and :func:`metaopt.models.implicit_gnn` runs the step to its fixed point and differentiates through that.
#
# Both see the same
# -----------------
# Colour says how sure each is of each member; rings are the two who were given, crosses those on the wrong side.

place = networkx.spring_layout(club, seed=4)
shares = trajectory.final / trajectory.final.sum(1, keepdim=True)
panels = {"label propagation, 10 steps": shares, "GCN, 2 layers": scores.softmax(1)}
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for axis, (name, belief) in zip(axes, panels.items(), strict=True):
    networkx.draw_networkx_edges(club, place, ax=axis, edge_color="0.75", width=0.8)
    x, y = torch.tensor([place[n].tolist() for n in club]).T
    dots = axis.scatter(x, y, c=belief[:, 1], cmap="coolwarm", vmin=0, vmax=1, s=110, edgecolors="0.4", zorder=2)
    axis.scatter(x[known], y[known], s=260, facecolors="none", edgecolors="black", linewidths=1.5, zorder=3)
    wrong = belief.argmax(1) != side
    axis.scatter(x[wrong], y[wrong], marker="x", color="black", s=50, zorder=4)
    axis.set_title(f"{name}: {right(belief):.0%} right")
    axis.set_axis_off()
_ = figure.colorbar(dots, ax=axes, label="belief in the officer's side", shrink=0.8)

# %%
# A torch_geometric ``Data`` or ``Batch`` becomes a problem by :meth:`metaopt.GraphSignal.from_data`, and so any of its
# data sets can be used. ``python -m benchmarks.citation`` trains all of these on Cora and Citeseer.

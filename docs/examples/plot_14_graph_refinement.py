"""
Refine a graph: roads in a noisy map
====================================

Roads, vessels, neurons and airways are found in two steps: join everything that might belong to them, and then decide
which of the joints are real. The second step is inference on a graph. This page does it on a map of its own in some 40
lines, first with numbers set by hand, and then with each slot of the same method learned.
"""

import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

import metaopt as mo
from metaopt.algorithms import EdgeInference, maximum_arborescence, minimum_spanning_tree
from metaopt.losses import binary_cross_entropy, dice
from metaopt.problems import GraphRefinement, nearest_neighbors
from metaopt.tasks import tree_edges

# %%
# A map
# -----
# A road enters at the top and forks three times. Scratches look the same but lead nowhere, and everything is noisy. A
# detector has marked a point about every four pixels, and some where nothing is.

SIZE = 96
GRID = torch.stack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij"), -1).reshape(-1, 2).float()


def line(place, heading, length, generator):
    """Points four pixels apart on a line that bends a little, without its start, and its heading at the end."""
    points = []
    for _ in range(length):
        heading = heading + 0.12 * float(torch.randn((), generator=generator))
        place = place + 4 * torch.tensor([math.cos(heading), math.sin(heading)])
        points.append(place)
    return points, heading


def draw(seed):
    """The marked points, the parent of each (-1: none), and the map."""
    generator = torch.Generator().manual_seed(seed)
    points, parent = [torch.tensor([6.0, SIZE / 2])], [-1]
    ends = [(0, 0.0)]  # number and heading
    for length in (6, 5, 4, 3):
        forks = []
        for start, heading in ends:
            found, heading = line(points[start], heading, length, generator)
            parent += [start, *range(len(points), len(points) + length - 1)]
            points += found
            forks += [(len(points) - 1, heading + turn) for turn in (-0.6, 0.6)]
        ends = forks
    road = len(points)
    for place, heading in zip(8 + (SIZE - 16) * torch.rand(5, 2, generator=generator), range(5), strict=True):
        points += [place, *line(place, float(heading), 2, generator)[0]]
    lines = torch.stack(points)
    joined = [(n, p) for n, p in enumerate(parent) if p >= 0]
    joined += [(n + i, n + i - 1) for n in range(road, len(lines), 3) for i in (1, 2)]
    fine = torch.cat([torch.lerp(lines[a], lines[b], torch.linspace(0, 1, 5)[:, None]) for a, b in joined])
    noise = 0.2 * torch.randn(SIZE, SIZE, generator=generator)
    noisy = (-torch.cdist(GRID, fine).amin(1).square() / 2).exp().reshape(SIZE, SIZE) + noise
    marked = torch.cat(
        [lines + 0.4 * torch.randn(lines.shape, generator=generator), SIZE * torch.rand(30, 2, generator=generator)]
    )
    return marked.clamp(0, SIZE - 1), torch.tensor([*parent, *[-1] * (len(marked) - road)]), noisy


# %%
# Your own refinement problem
# ---------------------------
# It needs three tensors. Edges join each point to its six nearest neighbours. Nodes have one feature, the smoothed map
# there, and edges have four: a 1, the length, and the mean and the least value of the smoothed map along them.


def refine(seed):
    """The problem, which of its edges are real, the places of the nodes, and the map."""
    place, parent, noisy = draw(seed)
    edges = nearest_neighbors(place, 6)
    start, end = place[edges[0]], place[edges[1]]
    between = torch.lerp(start[:, None], end[:, None], torch.linspace(0, 1, 9)[None, :, None])
    row, column = between.round().long().unbind(-1)
    along, length = F.avg_pool2d(noisy[None], 3, 1, 1)[0][row, column], (end - start).norm(dim=1)
    pairs = torch.stack([torch.ones_like(length), length / 4, along.mean(1), along.amin(1)], dim=1)
    value = torch.zeros(len(place), 1).index_put((edges[0],), along[:, :1])
    return GraphRefinement(value, pairs, edges), tree_edges(edges, parent), place, noisy


problem, real, place, noisy = refine(0)
print(f"{len(place)} nodes, {len(real)} edges, {int(real.sum())} of them real, in either direction")

# %%
# Set by hand
# -----------
# The potentials say how many edges should leave a node (``degree``, the log potentials of 0, 1, 2 and 3), which nodes
# are likely (``node``), that a road leads both ways (``symmetry``), and which edges are likely (``pair``). They make a
# factor graph, and any inference on factor graphs will do; here it is mean field.

potentials = mo.networks.EdgePotentials(
    degree=torch.tensor([0.0, 1.0, 1.0, 0.0]),
    node=torch.tensor([0.0]),
    symmetry=1.0,
    pair=torch.tensor([0.0, -2.0, 0.0, 4.0]),
)
by_hand = EdgeInference(mo.MeanField(damping=0.5), potentials)

# %%
# Learn the slots
# ---------------
# All methods see the same maps, and are judged by the same others. Each slot is opened alone, then all of them; then
# belief propagation with the same potentials, and a graph network that contains no inference at all.

TRAINED_ON, HELD_OUT = [refine(seed)[:2] for seed in range(1, 25)], [refine(seed)[:2] for seed in range(101, 109)]


def loss(net, problem, real):
    output = net(problem).final
    return binary_cross_entropy(output, real) + dice(output, real)


def judge(net):
    """The loss, and the Dice overlap in percent of the edges that are believed in, on maps never trained on."""
    with torch.no_grad():
        hits = [float(1 - dice(100 * net(p).final.sign(), r)) for p, r in HELD_OUT]
        return sum(float(loss(net, p, r)) for p, r in HELD_OUT) / len(HELD_OUT), 100 * sum(hits) / len(hits)


def learn(net, epochs=4, rate=0.05):
    before = judge(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    for problem, real in TRAINED_ON * epochs:
        optimizer.zero_grad()
        loss(net, problem, real).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return *before, *judge(net)


torch.manual_seed(0)
one_by_one = {
    "potentials.degree": mo.shared(),
    "potentials.node": mo.shared(),
    "potentials.symmetry": mo.shared(),
    "potentials.pair": mo.shared(),
    "inference.damping": mo.per_step(6, interval=(0.0, 1.0)),
}
nets = {name: mo.unroll(mo.parameterize(by_hand, {name: how}), steps=6) for name, how in one_by_one.items()}
nets["mean-field network"] = mo.models.mean_field_refinement(potentials, steps=6)
nets["learned BP"] = mo.models.learned_bp_refinement(potentials, steps=6)
nets["edge network"] = mo.models.edge_network(features=1, pairs=4)
print(f"{'learned':22}   loss  Dice %  ->  loss  Dice %")
for name, net in nets.items():
    numbers = learn(net, rate=0.02 if name == "edge network" else 0.05)
    print("{:22}{:7.2f}{:8.1f}  ->{:6.2f}{:8.1f}".format(name, *numbers))

# %%
# The loss falls with every slot. The overlap, which only sees on which side of one half each edge is, may fall all the
# same, as it does where only the damping is learned. What helps most here is to learn how many edges leave a node.
#
# Without any inference
# ---------------------
# What does the graph earn? It has to beat the best threshold on the value along an edge, chosen on the maps of the
# training, the shortest tree that joins all nodes, and a perceptron that is trained on the same edges but sees each of
# them alone.


def shortest_tree(problem):
    return minimum_spanning_tree(problem.edge_index, len(problem.x), problem.pairs[:, 1])


def dice_of(choose, maps):
    return sum(float(1 - dice(200.0 * choose(p) - 100, r)) for p, r in maps) / len(maps) * 100


thresholds = torch.linspace(0, 1, 41)
best = max(thresholds, key=lambda t: dice_of(lambda p: (p.pairs[:, 3] > t).float(), TRAINED_ON))
print(f"threshold at {best:.2f}: {dice_of(lambda p: (p.pairs[:, 3] > best).float(), HELD_OUT):.1f}")
print(f"shortest tree:     {dice_of(lambda p: shortest_tree(p).float(), HELD_OUT):.1f}")

torch.manual_seed(0)
perceptron = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(perceptron.parameters(), lr=0.02)
features, targets = torch.cat([p.pairs for p, _ in TRAINED_ON]), torch.cat([r for _, r in TRAINED_ON])
for _ in range(300):
    optimizer.zero_grad()
    output = perceptron(features)[:, 0]
    (binary_cross_entropy(output, targets) + dice(output, targets)).backward()
    optimizer.step()
with torch.no_grad():
    print(f"each edge alone:   {dice_of(lambda p: (perceptron(p.pairs)[:, 0] > 0).float(), HELD_OUT):.1f}")

# %%
# On these maps most of it can be seen from one edge at a time: the perceptron is about as good as inference with
# learned potentials, which are linear in the features, and only the edge network is a little ahead. Without it, the
# graph would earn nothing here but the tree that follows.
#
# From edges to a tree
# --------------------
# A road that enters at the top is a tree with its root there. Among all trees of probable edges,
# :func:`~metaopt.algorithms.maximum_arborescence` finds the most probable one. What no edge of at least ``least``
# reaches stays out, so that scratches beside the road fall away, and a low ``least`` bridges gaps.

with torch.no_grad():
    log_odds = nets["mean-field network"](problem).final
for least in (0.5, 0.2, 0.05):
    tree = maximum_arborescence(problem.edge_index, len(place), log_odds, root=0, least=least)
    edges = tree.edge[tree.edge >= 0]
    print(f"at least {least:.2f}: {len(edges)} edges, {int(real[edges].sum())} of them real, of {int(real.sum()) // 2}")
chosen = torch.zeros(len(real), dtype=torch.bool)
chosen[edges] = True
panels = {"candidates": torch.ones_like(chosen), "real": real > 0, "mean-field network": log_odds > 0, "tree": chosen}
figure, axes = plt.subplots(1, 4, figsize=(11, 3.4), layout="constrained", sharey=True)
for axis, (name, shown) in zip(axes, panels.items(), strict=True):
    axis.imshow(noisy, cmap="gray", vmin=-1, vmax=2)
    a, b = problem.edge_index[:, shown]
    axis.plot(
        torch.stack([place[a, 1], place[b, 1]]), torch.stack([place[a, 0], place[b, 0]]), color="tab:orange", lw=1.2
    )
    axis.set_title(name)
    axis.set_xlabel("column, pixels")
_ = axes[0].set_ylabel("row, pixels")

# %%
# In three dimensions it is the same: :func:`~metaopt.problems.gaussian_features` and
# :func:`~metaopt.problems.rigid_features` give the features of candidates with position, radius and direction, as in
# Selvan et al. (2020, `arXiv:1811.08674 <https://arxiv.org/abs/1811.08674>`_), and
# :class:`~metaopt.tasks.BranchingGraphs` draws trees to train on.

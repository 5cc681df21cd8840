"""
Learn from few examples
=======================

A task has a few examples and some questions. *Adaptation* takes a few steps of gradient descent on the examples, for
many tasks side by side, and answers the questions with the networks that result. Differentiated through those steps,
with respect to the weights that all tasks start from, it is MAML (Finn et al., arXiv:1703.03400).
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import metaopt as mo
from metaopt.tasks import Sinusoids

# %%
# Sinusoids
# ---------
# Each task is a sine of its own amplitude and phase. Ten points are shown; at a hundred others the network must answer.
# An ``Episode`` holds many such tasks: ``inputs`` and ``targets`` to learn from, and ``queries``.

task = Sinusoids(shots=10, queries=100, tasks=25)
episode, answers = task.sample(0)
print({name: tuple(getattr(episode, name).shape) for name in ("inputs", "targets", "queries")})


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))


# %%
# MAML is a recipe of one line; so is a Meta-SGD, which learns a step size for every parameter. The loop is plain torch.

maml = mo.models.maml(network(), steps=3, step_size=0.01, loss=mo.mse)
meta_sgd = mo.models.meta_sgd(network(), steps=3, step_size=0.01, loss=mo.mse)


def meta_train(learner, updates=1000):
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    for seed in range(updates):
        episode, answers = task.sample(seed)
        loss = mo.mse(learner(episode, steps=1 + seed % 3).final, answers)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()


meta_train(maml)
meta_train(meta_sgd)

# %%
# The rival learns from all tasks at once. It can do no better than the mean of all sines, and when it is then shown the
# ten points it has to start from there.

pretrained = network()
optimizer = torch.optim.Adam(pretrained.parameters(), lr=3e-3)
for seed in range(1200):
    episode, answers = task.sample(seed)
    loss = mo.mse(pretrained(episode.queries), answers)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %%
# New tasks
# ---------
# Training drew one to three steps, and the curves, means over 500 new tasks, go as far. ``steps`` may be any number,
# but Meta-SGD's step sizes, some of them negative, are made for those they were trained for: at six it diverges.

new, truth = Sinusoids(shots=10, queries=100, tasks=500).sample(10**6)
rival = mo.unroll(mo.Adaptation(pretrained, mo.updates.Sgd(0.02), mo.mse), steps=10)
learners = {"trained on all tasks": rival, "MAML": maml, "Meta-SGD": meta_sgd}


@torch.no_grad()
def errors(learner, steps=3):
    before = learner(new, steps=0).final
    return [mo.mse(out, truth).item() for out in (before, *learner(new, steps=steps).outputs)]


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for i, (name, learner) in enumerate(learners.items()):
    curve = errors(learner)
    left.plot(curve, "o-", ms=4, color=f"C{i}", label=name)
    print(f"{name:21s} after 0, 1 and 3 steps: {curve[0]:.2f}, {curve[1]:.2f}, {curve[3]:.2f}")
left.set(xlabel="step", ylabel="mean square error", ylim=(0, None))
left.grid(alpha=0.3)
left.legend()

shown = 3
order = new.queries[shown, :, 0].argsort()
for i, (name, learner) in enumerate(learners.items()):
    with torch.no_grad():
        out = learner(new, steps=1).final[shown, order, 0]
    right.plot(new.queries[shown, order, 0], out, color=f"C{i}", label=f"{name}, 1 step")
right.plot(new.queries[shown, order, 0], truth[shown, order, 0], "k--", lw=1, label="truth")
right.plot(new.inputs[shown, :, 0], new.targets[shown, :, 0], "k^", label="the ten points")
right.set(xlabel="x", ylabel="y")
right.legend(fontsize=7)

# %%
# What else there is
# ------------------
# - ``mo.models.first_order_maml`` leaves second derivatives out; ``mo.models.meta_lstm`` learns the step itself (Ravi
#   and Larochelle, 2017); ``mo.models.prototypes`` is the rival that adapts nothing (Snell et al., arXiv:1703.05175).
# - Classification has ``metaopt.tasks.FewShot`` for any images, ``metaopt.data.read_omniglot``, and
#   ``mo.networks.few_shot_network``. Its BatchNorm is explicit: ``Transductive`` normalises a query with the other
#   queries, ``PerStep`` with the task's examples, ``Frozen`` with constants.
# - They are all one algorithm with another update, so every update and every slot works here too:

net = network()
algorithm = mo.Adaptation(net, mo.updates.Momentum(mo.shared(0.01), mo.shared(0.5)), mo.mse)
print([name for name, _ in algorithm.named_parameters() if "update" in name])

# %%
# - ... and every gradient strategy. Long adaptations need less memory with ``Checkpointed``:

learner = mo.unroll(algorithm, steps=30, gradient=mo.Checkpointed(), keep="last")
mo.mse(learner(episode).final, answers).backward()

# %%
# Figures on Omniglot, beside the published ones, are in :doc:`/results_learning`.

"""
Train your own optimizer
========================

An optimizer is an update: a rule that turns gradients into changes. Unroll it on many small problems, and what it does
to their losses can be differentiated by whatever it has inside. This page trains one in 30 lines, looks at what it has
learned, and then uses it as a ``torch.optim.Optimizer``.
"""

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

import metaopt as mo
from metaopt.data import read_digits
from metaopt.tasks import NetworkTrainings, held_out, mlp

# %%
# Thirty lines
# ------------
# The problems are trainings of a small perceptron on digits, each from random weights and with minibatches of its own,
# four side by side. The update is Adam with its step corrected, for every single parameter, by a network of four hidden
# units that sees what Adam remembers. Its last layer starts at zero: before training this *is* Adam.

digits = read_digits(last=1000)
trainings = NetworkTrainings(mlp([64, 20, 10]), digits, trainings=4)

torch.manual_seed(0)
update = mo.updates.LearnedAdam(step_size=mo.shared(0.05, positive=True))
net = mo.unroll(mo.Descent(update), steps=60)

meta_optimizer = torch.optim.Adam(update.parameters(), lr=5e-3)
history = []
for seed in range(60):
    problem, _ = trainings.sample(seed)
    loss = torch.stack([problem.energy(x) for x in net(problem).outputs]).log().mean()
    meta_optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(update.parameters(), 1.0)
    meta_optimizer.step()
    history.append(loss.item())
print(f"mean log loss of a run: {sum(history[:10]) / 10:.2f} at first, {sum(history[-10:]) / 10:.2f} at the end")

# %%
# The whole run is differentiated, through the gradients as well. Cheaper ways are an object or a wrapper away, to be
# tried rather than trusted: ``gradient=mo.Truncated(20)`` differentiates the last 20 steps of a run only, and
# ``metaopt.tasks.FirstOrderTask(trainings)`` leaves second derivatives out. In trials on these digits the first came
# out behind Adam until about the last step, and the second drifted to losses far above Adam's: nothing tells a step
# that a larger one would have changed the next gradient.
#
# ``metaopt train optimizer_digits`` does what this page does for longer, with checkpoints and a log; see
# :doc:`/training`.
#
# Is it better than what it started from?
# ---------------------------------------
# Adam deserves its best rate. It is chosen on trainings that were not used to learn from, and both are then measured on
# others, of networks that have other weights and see other digits.

new_digits = NetworkTrainings(mlp([64, 20, 10]), read_digits(first=1000), trainings=8)


@torch.no_grad()
def curve(update, number, steps=100):
    problem, _ = held_out(new_digits, number)
    outputs = mo.unroll(mo.Descent(update), steps)(problem).outputs
    return [problem.energy(x).item() / 8 for x in (problem.start(), *outputs)]


rates = [0.01 * 1.6**i for i in range(9)]
best = min(rates, key=lambda rate: curve(mo.updates.Adam(rate), number=1)[-1])
adam, learned = curve(mo.updates.Adam(best), number=0), curve(update, number=0)

figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
axis.semilogy(adam, color="0.5", label=f"Adam, best rate {best:.3f}")
axis.semilogy(learned, color="C0", label="learned")
axis.set(xlabel="step", ylabel="cross-entropy, held-out digits")
axis.grid(alpha=0.3)
axis.legend()
for k in (20, 50, 100):
    print(f"after {k:3d} steps: Adam {adam[k]:.3f}, learned {learned[k]:.3f}")

# %%
# As an optimizer of torch
# ------------------------
# ``as_torch`` wraps any update, classical or learned. Parameter groups, schedulers, ``state_dict``, ``GradScaler`` and
# copies work as with torch's own optimizers; ``lr`` multiplies the changes, and 1 is what the update was trained for.

model = mlp([64, 20, 10])
optimizer = mo.optim.as_torch(update, model.parameters())
images, labels = read_digits(first=1000)
for _ in range(100):
    seen = torch.randint(len(images), (128,))
    loss = F.cross_entropy(model(images[seen]), labels[seen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss after 100 steps: {F.cross_entropy(model(images), labels).item():.3f}")

# %%
# Trained optimizers come with the package:

print(mo.optim.trained())
optimizer = mo.optim.as_torch(mo.optim.load("optimizer_digits"), model.parameters())

# %%
# What a learned optimizer is good for is what it was trained on. How far this one carries (wider and deeper networks,
# ReLU, five times as many steps, another data set), and where it fails, is measured in :doc:`/results_learning`.
#
# Other updates
# -------------
# :class:`~metaopt.updates.CoordinatewiseLstm` is the optimizer of arXiv:1606.04474;
# :class:`~metaopt.updates.LearnedAdam` with a :class:`~metaopt.networks.Recurrent` network remembers more than means;
# and a classical update with a value for every step is learned as well:

schedule = mo.parameterize(mo.Descent(mo.updates.Adam(0.05)), {"update.step_size": mo.per_step(100, positive=True)})
print({name: tuple(p.shape) for name, p in schedule.named_parameters()})

# %%
# Where backpropagation through a long run explodes or a step has no derivative, :mod:`metaopt.estimators` has evolution
# strategies for the same unrolled algorithms.

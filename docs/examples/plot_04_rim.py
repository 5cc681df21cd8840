"""
The Recurrent Inference Machine
===============================

The Recurrent Inference Machine (RIM; Putzky and Welling, `arXiv:1706.04008 <https://arxiv.org/abs/1706.04008>`_) solves
inverse problems. It is gradient descent whose update is a small recurrent network: at each step it sees its estimate
``x``, the gradient of the log-likelihood and its own memory ``s``, and proposes a change,

.. code-block:: text

   x[t+1] = x[t] + f(x[t], grad log p(y | x[t]), s[t])
   s[t+1] =        g(x[t], grad log p(y | x[t]), s[t])

What is known of pictures is not written down as a prior; it is learned, inside the network. This page trains a very
small one on patches for a few seconds, looks at it step by step, and says how the real ones are made.
"""

import matplotlib.pyplot as plt
import torch
from skimage import color, data

import metaopt as mo
from metaopt.metrics import psnr
from metaopt.tasks import Denoising, Patches

# %%
# An inverse problem
# ------------------
# Given ``y = A x + noise``, find x. The operator A, the measurement and the standard deviation of the noise are all
# that a RIM is told. For denoising A is the identity. Pictures are (batch, channels, height, width), grey values in [0,
# 1].

torch.manual_seed(0)
target = torch.as_tensor(data.camera()[64:192, 160:288]).float()[None, None] / 255
SIGMA = 25 / 255
y = target + SIGMA * torch.randn_like(target)
problem = mo.InverseProblem(mo.operators.Identity(), y, noise=SIGMA)
print("first estimate A^H y:", tuple(problem.start().shape))
print("gradient of -log p(y|x):", tuple(problem.gradient(problem.start()).shape))
print("log noise, which the network sees as well:", problem.context()[0].tolist())

# %%
# The network
# -----------
# ``mo.models.rim`` writes out one line: ``mo.unroll(mo.Descent(mo.updates.ConvGru(...)), steps)``. The cell is a 5x5
# convolution, a convolutional GRU, and a 3x3 convolution back to a change of x; ``stride=2`` lets it work at half
# resolution, which is four times cheaper. The memory is *state* like any other: it is handed from step to step and
# never kept on the module.

T = 4
net = mo.models.rim(channels=1, hidden=16, kernels=(3,), stride=2, steps=T)
state = net(problem).state
print("estimate:", tuple(state.x.shape), "  memory:", [tuple(s.shape) for s in state.memory])
print("parameters:", sum(p.numel() for p in net.parameters()))

# %%
# Training
# --------
# A *task* is a distribution of problems with their answers: ``task.sample(seed)`` returns a batch of both. Here patches
# of 32 x 32 pixels from two colour pictures made grey, each with a noise level of its own between 10 and 50 of 255. The
# picture above, scikit-image's camera, is not among them. The loss looks at every step, and every batch runs 3 to 6
# steps: a network that is always stopped at the same step has no reason to stay where it is afterwards.

colour = (data.astronaut(), data.coffee())
pictures = [torch.as_tensor(255 * color.rgb2gray(p)).round().byte()[None] for p in colour]
task = Denoising(Patches(pictures, size=32, batch=4), noise_levels=(10 / 255, 50 / 255))

UPDATES = 500
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=UPDATES)
losses = []
for update in range(UPDATES):
    patches, clean = task.sample(seed=update)
    loss = mo.trajectory_loss(net(patches, steps=3 + update % 4), clean, mo.mse)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    optimizer.step()
    schedule.step()
    losses.append(loss.item())
print(f"mean loss of the first 25 updates {sum(losses[:25]) / 25:.4f}")
print(f"mean loss of the last 25 updates  {sum(losses[-25:]) / 25:.4f}")

# %%
# Step by step
# ------------
# It was trained on 32 x 32 patches and runs on a picture of any size. A call may also ask for more steps than it was
# trained for.

with torch.no_grad():
    outputs = net(problem, steps=4 * T).outputs
estimates = [problem.start(), *outputs]

shown = [0, 1, 2, T, 4 * T]
figure, axes = plt.subplots(2, len(shown) + 1, figsize=(10, 3.7), layout="constrained")
for column, t in zip(axes.T, shown, strict=False):
    column[0].imshow(estimates[t][0, 0], cmap="gray", vmin=0, vmax=1)
    column[0].set_title("noisy (step 0)" if t == 0 else f"step {t}", fontsize=9)
    error = column[1].imshow((estimates[t] - target)[0, 0], cmap="gray", vmin=-0.25, vmax=0.25)
axes[0, -1].imshow(target[0, 0], cmap="gray", vmin=0, vmax=1)
axes[0, -1].set_title("target", fontsize=9)
axes[1, 0].set_ylabel("estimate − target", fontsize=9)
axes[0, 0].set_ylabel("estimate", fontsize=9)
for panel in axes.flat:
    panel.set(xticks=[], yticks=[])
axes[1, -1].axis("off")
bar = figure.colorbar(error, cax=axes[1, -1].inset_axes([0.05, 0.05, 0.1, 0.9]))
bar.set_label("grey value, 1 = white", fontsize=8)

# %%
# PSNR, 10 log10(1 / mean squared error), against the step. The classical rival is total variation with its weight tuned
# on this very picture; see :doc:`plot_05_operators`. This machine has about 15 thousand parameters and saw two pictures
# for some seconds: read the curve for its shape, not for its height.

tv_step = mo.algorithms.step_size_for(problem)
tv = []
for weight in (6, 9, 12, 16, 22):
    with torch.no_grad():
        prior = mo.priors.TotalVariation(weight, inner=60)
        estimate = mo.unroll(mo.ProximalGradient(prior, tv_step), steps=1)(problem).final
    tv.append(psnr(estimate, target).item())
curve = [psnr(x, target).item() for x in estimates]
figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
axes.plot(curve, "o-", markersize=4, label="RIM, tiny")
axes.axhline(max(tv), color="0.5", ls="--", label="total variation, tuned on this picture")
axes.axvspan(3, 6, color="C0", alpha=0.1, label="steps in training")
axes.set(xlabel="step", ylabel="PSNR (dB)")
axes.grid(alpha=0.3)
axes.legend(loc="lower right")
print(f"noisy {curve[0]:.1f} dB, total variation {max(tv):.1f} dB")
print(f"RIM: step {T} {curve[T]:.1f} dB, step {4 * T} {curve[-1]:.1f} dB")

# %%
# Complex pictures: MRI
# ---------------------
# Nothing changes but the operator and the number type. Complex tensors stay complex; the network takes them apart
# inside.

from metaopt.tasks import UndersampledMri

kspace, truth = UndersampledMri(Patches(pictures, size=64, batch=2)).sample(seed=0)
mri = mo.models.rim(hidden=16, stride=2, steps=T, is_complex=True)
print("k-space:", kspace.y.dtype, tuple(kspace.y.shape))
print("picture:", mri(kspace).final.dtype, tuple(truth.shape))

# %%
# Deeper: the invertible RIM, and untied steps
# --------------------------------------------
# Training keeps every step in memory. Two ways out: ``gradient=mo.Checkpointed()`` works for any network, and the
# invertible RIM (`arXiv:1911.10914 <https://arxiv.org/abs/1911.10914>`_), whose steps can be undone, trains in memory
# that does not depend on the number of steps. ``untie`` gives each step a network of its own; before training it
# computes exactly the same.

deep = mo.models.untie(mo.models.irim(hidden=16, steps=8))
patches, clean = task.sample(seed=0)
trajectory = deep(patches)
mo.trajectory_loss(trajectory, clean).backward()
print(deep.gradient)
print(f"the way back missed the initial state by {trajectory.report.backward_residual:.0e}")

# %%
# Trained networks
# ----------------
# The package comes with trained weights. ``mo.models.load(name)`` returns the network, in evaluation mode; its card
# says on what it was trained, for how long, and by which recipe.

print("shipped:", mo.weights.shipped())
if "denoise_grey" in mo.weights.shipped():
    trained = mo.models.load("denoise_grey")
    with torch.no_grad():
        result = trained(problem).final
    card = mo.weights.read_card("denoise_grey")
    print("parameters:", card["parameters"], "  updates:", card["updates"])
    print(f"PSNR {psnr(result, target).item():.1f} dB")

# %%
# On the command line:
#
# .. code-block:: console
#
#    $ metaopt denoise noisy.png clean.png --sigma 25
#    $ metaopt demo
#
# Train your own
# --------------
# What is written out above, plus a learning-rate schedule, clipping, averaged weights, a log, checkpoints and resuming,
# is one function, ``metaopt.training.train(net, task, folder)``, and one command, which reads a recipe:
#
# .. code-block:: console
#
#    $ METAOPT_DATA=/path/to/data metaopt train denoise_grey --out runs/denoise_grey
#
# See :doc:`/training`.

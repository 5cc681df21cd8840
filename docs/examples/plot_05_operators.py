"""
Operators, and your own data
============================

An inverse problem is a measurement ``y = A x + noise``. This page is about A: the operators there are, how to put them
together, how to bring your own from NumPy or SciPy, and how to find out whether its adjoint is right. At the end stands
the usual approach to such a problem, maximum a posteriori (MAP) estimation with total variation.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse.linalg
import torch
from skimage import data

import metaopt as mo
from metaopt.metrics import psnr
from metaopt.operators import Blur, LinearMap, Mask, check_adjoint, gaussian_kernel

# %%
# An operator
# -----------
# An operator is called like a function and has an exact adjoint. Everything is batch first: here (batch, channels,
# height, width).

torch.manual_seed(0)
x = torch.as_tensor(data.camera()[64:192, 160:288]).float()[None, None] / 255
blur = Blur(gaussian_kernel(size=9, sigma=1.5))
y = blur(x)  # A x
back = blur.adjoint(y)  # A^H y, the same as blur.H(y)
print("A^H A x in one call:", torch.allclose(blur.normal(x), back))

# %%
# ``@`` composes, the right one first. A blurred picture of which 60 % of the pixels are seen:

mask = (torch.rand(128, 128) < 0.6).float()
camera = Mask(mask) @ blur
print("error of the dot test:", check_adjoint(camera, x))

# %%
# There are ``Identity`` (denoising), ``Mask`` and ``Select`` (inpainting), ``Dense`` (a matrix), ``Blur`` and
# ``CircularBlur``, ``bicubic_downsample`` and ``box_downsample`` (super-resolution), ``Fourier``, ``Nufft``, ``Sense``
# and ``Whitening`` (MRI), random projections and ``Blocks`` (compressed sensing), ``RealToComplex``, ``Scaled``. A
# mask, a kernel or a matrix may be one for all samples or one for each: see :mod:`metaopt.operators`.
#
# Your own operator
# -----------------
# Two functions on batches are enough. They need not be differentiable, so they may leave torch: ``from_numpy`` hands
# over arrays. Here a running sum along the rows, as a detector measures it that cannot be reset between pixels. The
# adjoint of a running sum is the running sum from the other end.


def sum_up(x):
    return np.cumsum(x, axis=-1)


def sum_from_the_end(y):
    return np.flip(np.cumsum(np.flip(y, axis=-1), axis=-1), axis=-1)


running_sum = LinearMap.from_numpy(sum_up, sum_from_the_end)
print("error of the dot test:", check_adjoint(running_sum, (1, 1, 128, 128)))

# %%
# An adjoint that is wrong is the most common mistake in this field, and a quiet one: everything runs, and converges to
# something else. ``check_adjoint`` compares ``<A u, v>`` with ``<u, A^H v>`` for random u and v, and says how wrong it
# is.


def show(attempt):
    try:
        attempt()
    except mo.MetaoptError as error:
        print(textwrap.fill(f"MetaoptError: {error}", 80), "\n")


forgotten = LinearMap.from_numpy(sum_up, sum_up)
show(lambda: check_adjoint(forgotten, (1, 1, 128, 128)))

unnormalised = LinearMap(
    lambda x: torch.fft.fft2(x, norm="ortho"),
    lambda y: torch.fft.ifft2(y, norm="ortho") * y.shape[-1],
)
show(lambda: check_adjoint(unnormalised, torch.zeros(1, 16, 16, dtype=torch.complex128)))

# %%
# Gradients pass through a ``LinearMap``, to every order: the derivative of the one function is the other.

inside = torch.zeros(1, 1, 4, 4, requires_grad=True)
running_sum(inside).sum().backward()
print(inside.grad[0, 0, 0])

# %%
# A SciPy sparse matrix is taken through its ``aslinearoperator``, a tensor (m, n) as it is, and so is any object with
# ``A`` and ``A_adjoint``, as deepinv has them. Such matrices act on vectors, (batch, n).

matrix = scipy.sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(50, 50))
sparse = mo.operators.as_operator(scipy.sparse.linalg.aslinearoperator(matrix))
print("error of the dot test:", check_adjoint(sparse, (3, 50)))

# %%
# A measurement with its noise
# ----------------------------
# ``InverseProblem`` puts operator, measurement and noise level together. ``noise`` is the standard deviation of a real
# component of y; one number, or one for each sample of the batch. ``energy`` is -log p(y|x) up to a constant and
# ``gradient`` its gradient, written out, so that algorithms need no autograd for it.

batch = x.expand(3, -1, -1, -1)
noise = torch.tensor([0.01, 0.05, 0.1])
y = blur(batch) + noise[:, None, None, None] * torch.randn_like(batch)
problem = mo.InverseProblem(blur, y, noise)
expected = 0.5 * x.numel()
energies = [round(e) for e in problem.energy(batch).tolist()]
print(f"energy at the truth: {energies}, expected about {expected:.0f} each")

# %%
# What cannot be is refused where the problem is made, not a hundred steps later:

show(lambda: mo.InverseProblem(blur, blur(x), noise=0.0))
show(lambda: mo.InverseProblem(blur, blur(x) / 0, noise=0.1))
show(lambda: mo.InverseProblem(Mask(mask), x[..., :100], noise=0.1).start())

# %%
# The usual approach: MAP with total variation
# --------------------------------------------
# A known model and a separate prior: minimise ``energy(x)`` of the problem plus ``energy(x)`` of the prior. Total
# variation says that pictures are flat nearly everywhere, with edges. Two algorithms do it:
#
# - ``Fista`` uses the prior's *prox*, which needs no smoothing. ``step_size_for`` gives its step.
# - ``MapEstimation`` adds up the two gradients, x + step (grad log p(y|x) + grad log p(x)). It takes any prior with a
#   gradient, a learned one too (``FieldOfExperts``). Total variation has kinks, so its gradient is that of a smoothed
#   one: the smaller ``smoothing``, the smaller the step must be, at most about
#   ``2 / (1 / step_size_for(problem) + 8 weight / smoothing)``.

SIGMA, WEIGHT, SMOOTHING = 0.02, 20.0, 0.02
observed = camera(x) + SIGMA * mask * torch.randn_like(x)
problem = mo.InverseProblem(camera, observed, noise=SIGMA)
step = mo.algorithms.step_size_for(problem)
fista = mo.Fista(mo.priors.TotalVariation(WEIGHT, inner=10), step_size=step)
ascent_step = 1.8 / (1 / step + 8 * WEIGHT / SMOOTHING)
ascent = mo.MapEstimation(mo.priors.TotalVariation(WEIGHT, smoothing=SMOOTHING), step_size=ascent_step)

with torch.no_grad():
    by_fista = mo.unroll(fista, steps=60)(problem).outputs
    by_ascent = mo.unroll(ascent, steps=300)(problem).outputs


def curve(outputs):
    return [psnr(estimate, x).item() for estimate in outputs]


figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
axes.semilogx(range(1, 61), curve(by_fista), "o-", ms=3, label="Fista, prox")
axes.semilogx(range(1, 301), curve(by_ascent), "s-", ms=3, label="MapEstimation, gradient")
axes.set(xlabel="step", ylabel="PSNR (dB)")
axes.legend()
axes.grid(alpha=0.3, which="both")

# %%
# The two do not end at quite the same picture: a smoothed total variation is another prior. Below, the same grey scale
# in all panels but the last, 0 black and 1 white; the error is stretched four times.

panels = {"measured": observed, "MAP, Fista, 60 steps": by_fista[-1], "target": x}
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for panel, (title, picture) in zip(axes, panels.items(), strict=False):
    panel.imshow(picture[0, 0], cmap="gray", vmin=0, vmax=1)
    panel.set_title(title, fontsize=9)
error = axes[3].imshow((by_fista[-1] - x)[0, 0], cmap="gray", vmin=-0.125, vmax=0.125)
axes[3].set_title("MAP − target", fontsize=9)
for panel in axes:
    panel.set(xticks=[], yticks=[])
figure.colorbar(error, ax=axes[3], fraction=0.046).set_label("grey value", fontsize=8)
print(f"start {psnr(problem.start(), x).item():.1f} dB, Fista {curve(by_fista)[-1]:.1f} dB")

# %%
# The prior's weight and the step size are slots: ``mo.parameterize(ascent, {"prior.weight": mo.shared(positive=True),
# "step_size": mo.per_step(20)})`` learns them from pairs (problem, target), as :doc:`plot_01_recipe` does. The
# :doc:`Recurrent Inference Machine <plot_04_rim>` goes one further and learns the whole step.
#
# Counts: a Poisson likelihood
# ----------------------------
# Where photons are counted the noise level follows from the counts, so there is none to give. The gradient has no
# Lipschitz constant that holds everywhere, so the step is chosen by hand; one that is too long shows at once in the
# energy. x is in photons here, so that the first estimate A^H y has about the right size. ``background`` is the known
# mean count without any signal.

PEAK, BACKGROUND = 40.0, 2.0
photons = PEAK * x
counts = torch.poisson(blur(photons) + BACKGROUND)
problem = mo.InverseProblem(blur, counts, likelihood=mo.Poisson(background=BACKGROUND))
poisson_map = mo.Fista(mo.priors.TotalVariation(0.25, inner=10), step_size=1.0)
with torch.no_grad():
    outputs = mo.unroll(poisson_map, steps=60)(problem).outputs
    energies = [(problem.energy(u) + poisson_map.prior(0).energy(u)).item() for u in outputs]
print("posterior energy after steps 1, 10, 60:", [round(energies[t - 1]) for t in (1, 10, 60)])
before, after = (psnr(u, photons, peak=PEAK).item() for u in (counts - BACKGROUND, outputs[-1]))
print(f"counts {before:.1f} dB, MAP {after:.1f} dB")

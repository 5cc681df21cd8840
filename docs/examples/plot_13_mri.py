"""
Your own k-space: from a scanner's file to pictures
===================================================

This page goes from a file of k-space to a NIfTI file, from Python and from the command line. From a scanner's ISMRMRD
file it takes three commands, which need ``pip install '.[mri]'``:

.. code-block:: console

   $ metaopt mri info scan.h5                              # what the file holds, and what is in doubt
   $ metaopt mri reconstruct scan.h5 head.nii.gz --check   # pictures, and whether they explain the data
   $ metaopt mri reconstruct scan.h5 head.nii.gz --method cs --steps-out head.npz
   $ metaopt view head.npz                                 # every step, in the browser

fastMRI, BART (``.cfl``), MATLAB and NumPy files are opened in the same way. The NIfTI file has the place of the slices
in the scanner where the header tells it. A run that is interrupted goes on where it was, and memory does not grow with
the number of slices.

What is real here, and what is simulated: the head is a measured slice, the one that comes with matplotlib. Its k-space
is **simulated**: coils, phase and noise are drawn at random, and the noise is white. A scanner adds what is missing
here, such as motion, relaxation during the readout, and coils that are correlated. The last section has the figures of
a real scan.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cbook

import metaopt as mo
from metaopt.applications.mri import (
    Settings,
    cg_sense,
    describe,
    espirit,
    l1_wavelet,
    reconstruct,
    residual_maps,
    root_sum_of_squares,
    simulate_file,
    zero_filled,
)
from metaopt.data import open_kspace, write_nifti
from metaopt.metrics import psnr
from metaopt.models import load
from metaopt.operators import Fourier, Sense


def show(panels, width=2.1):
    """(caption, picture (H, W), largest value) side by side."""
    _, axes = plt.subplots(1, len(panels), figsize=(width * len(panels), width + 0.5), layout="constrained")
    for axis, (caption, picture, largest) in zip(axes, panels, strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=largest, interpolation="nearest")
        axis.set_title(caption, fontsize=9)
        axis.set_axis_off()


# %%
# A volume of magnitudes
# ----------------------
# Whoever has a NIfTI volume but no k-space can simulate it. The command is ``metaopt mri simulate head.nii.gz kspace.h5
# --acceleration 4 --coils 8``; here it is the function behind it. The noise is relative to the brightest voxels.

folder = Path(tempfile.mkdtemp())
with cbook.get_sample_data("s1045.ima.gz") as file:
    stored = np.frombuffer(file.read(), np.uint16).reshape(256, 256).astype(np.float32)
head = torch.from_numpy(stored.reshape(128, 2, 128, 2).mean((1, 3)))  # 128 x 128 pixels
write_nifti(folder / "head.nii.gz", head[None], voxel=(2.0, 2.0, 5.0))
simulate_file(folder / "head.nii.gz", folder / "kspace.h5", acceleration=4, coils=8, noise=0.02)

# %%
# What a file holds
# -----------------
# ``metaopt mri info`` prints what was found, and where it was found. These are the lines to read with your own file:
#
# - *axes* and *k-space*: which axis is what, and how many coils and slices. Where the sizes leave a doubt, the file
#   is refused, and ``--axes "slice coil row column"`` answers.
# - *sampled* and *calibration*: the acceleration is the number of points over the number of samples, and the middle
#   that is sampled in full is where the coil maps come from.
# - *noise*: the standard deviation of the real part, in the units of the file. It is taken from a scan of noise, from
#   what the file states, or from the border of k-space, and ``--noise`` overrides it. All methods but ``zero`` use it.
# - *centring*: whether frequency 0 is in the middle of the array or at index 0, which is found by where the energy is.
#   ``--centred`` overrides it.
#
# The scale of k-space does not matter: it is measured, and the pictures are in the units of the file.

kspace = open_kspace(folder / "kspace.h5")
print(describe(kspace).replace(str(folder), "..."))

# %%
# Coil maps
# ---------
# ESPIRiT computes the sensitivities of the coils from the middle of k-space. The maps are 0 where there is no signal,
# and each pixel has a phase of its own that is a matter of choice. A problem joins maps, mask, data and noise. Its
# pictures should reach 1, so k-space is divided by what the zero-filled picture reaches.

y, mask = kspace.read(0)[None], kspace.mask
zero = root_sum_of_squares(Fourier(centred=True).adjoint(y))
unit = float(zero.quantile(0.999))
maps = espirit(y, centred=True).maps[0]  # (set, coil, row, column)
noise = kspace.attributes["noise"] / unit
problem = mo.InverseProblem(Fourier(mask, centred=True) @ Sense(maps), y / unit, noise)
show(
    [(f"coil {coil}, |map|", maps[0, coil].abs(), 1) for coil in range(4)] + [("mask, centred", mask.float(), 1)],
)

# %%
# Methods side by side
# --------------------
# The true magnitudes are in the simulated file. The errors are shown at five times the scale of the pictures. Each
# classical method gets the best of a few weights, chosen by the target, which your own data do not have;
# there, compare several (``--weight``). The network has no weight: it is told the noise.

target = kspace.reference(0)[None, None] / unit


def score(magnitude):
    return float(psnr(magnitude, target, peak=float(target.max())))


def panel(magnitude):
    return magnitude[0, 0]


def best(method, weights):
    found = {weight: method(problem, weight) for weight in weights}
    weight = max(weights, key=lambda weight: score(root_sum_of_squares(found[weight])))
    print(f"{method.__name__}: weight {weight:g} of {', '.join(f'{w:g}' for w in weights)}")
    return found[weight]


with torch.inference_mode():
    outputs = load("mri")(problem).outputs
    pictures = {
        "zero-filled": zero_filled(problem),
        "CG-SENSE": best(cg_sense, (10.0, 30.0, 100.0, 300.0)),
        "L1-wavelet": best(l1_wavelet, (5.0, 10.0, 20.0, 40.0)),
        "RIM": outputs[-1],
    }
magnitudes = {name: root_sum_of_squares(x) for name, x in pictures.items()}

show([("target\n", panel(target), 1)] + [(f"{n}\n{score(m):.2f} dB", panel(m), 1) for n, m in magnitudes.items()])
show([(f"{n}\n|error|, white is 0.2", panel((m - target).abs()), 0.2) for n, m in magnitudes.items()])

# %%
# Step by step
# ------------
# The network starts at the zero-filled picture and was trained to take 10 steps. ``--steps-out`` keeps all of them. The
# panels show the error, white is 0.2.

steps = [problem.start(), *outputs]
curve = [score(root_sum_of_squares(x)) for x in steps]
chosen = (0, 1, 2, 5, 10)
show([(f"step {k}\n{curve[k]:.2f} dB", panel((root_sum_of_squares(steps[k]) - target).abs()), 0.2) for k in chosen])
_, axis = plt.subplots(figsize=(6.4, 3), layout="constrained")
axis.plot(range(len(curve)), curve, "o-", label="RIM")
for name, style in (("CG-SENSE", "--"), ("L1-wavelet", ":")):
    axis.axhline(score(magnitudes[name]), color="grey", linestyle=style, label=name)
axis.set(xlabel="step", ylabel="PSNR (dB)")
axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
axis.grid(alpha=0.25)

# %%
# Do the pictures explain the data?
# ---------------------------------
# A picture can look right and contradict what was measured. What it leaves of the data, in units of the noise, is near
# 1 for the true picture. A larger value says that the picture, the maps or the noise level is wrong; a much smaller one
# says that the picture follows the noise. ``--check`` prints it. It sees the sampled points alone: about what was
# not measured it says nothing, and the blurred zero-filled picture, of several coils, can be near 1 as well.

for name, x in pictures.items():
    print(f"{name:12} {float(residual_maps(problem, x).level):5.2f} of the noise")

# %%
# Where the residual has structure, the picture contradicts the data there. That of CG-SENSE shows the head, since its
# weight draws the picture towards 0:

found = [
    (name, residual_maps(problem, pictures[name]).picture.abs()[0, 0]) for name in ("CG-SENSE", "L1-wavelet", "RIM")
]
show([(f"{name}\nresidual, white is 3 x noise", picture, 3) for name, picture in found], width=2.6)

# %%
# To a NIfTI file
# ---------------
# ``metaopt mri reconstruct`` does all of this, slice by slice. In Python:

volume = reconstruct(kspace, Settings(method="cs"))
write_nifti(folder / "pictures.nii.gz", volume.pictures, volume.spacing and volume.spacing[::-1], volume.affine)
print("pictures:", tuple(volume.pictures.shape), "residual:", [round(level, 2) for level in volume.residual.tolist()])

# %%
# What to trust
# -------------
# The shipped network ``mri`` was trained on simulated k-space of heads and photographs: one to eight coils, masks of
# points and of lines at accelerations of 2 to 6, noise of 0.001 to 0.05, pictures whose magnitudes go to 1. It sees the
# gradient of the misfit, as a picture, and the level of the noise, so one network serves any number of coils and every
# mask; two sets of maps are two pictures, which it improves side by side and which only the gradient couples. It is
# given pictures in the units that it knows, and gives back those of the data. After each of its steps the estimate is
# held to the measurement, as tightly as the noise allows. It warns where the acceleration, the noise or the size of
# pixels is outside of what it was trained for.
#
# How well it does, on simulated people whom no training saw and on a measured brain, and what BART, sigpy and this
# library reach there without learning, is in :doc:`/results_mri`. Whatever the method, detail finer than the noise and
# the sampling allow is not measured: a sharp picture is no proof of it, and nothing here is meant for diagnosis. Where
# ``--check`` finds more misfit than noise, believe the data.

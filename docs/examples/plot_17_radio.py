"""
From a measurement set to a picture of the sky
==============================================

An interferometer measures visibilities: samples of the Fourier transform of the sky, where the pairs of its antennas
happen to be. This page goes from a measurement set to a FITS picture, from Python and from the command line. It needs
``pip install '.[radio,scale]'``. With a measurement set at hand it takes two commands:

.. code-block:: console

   $ metaopt radio info galaxy.ms                              # channels, baselines, flags, the largest cell size
   $ metaopt radio image galaxy.ms galaxy.fits --planes 1 --method tv --size 1024
   $ metaopt radio image galaxy.ms cube.fits --workers 4       # one picture for each channel

uvfits, archives of NumPy and, where xradio is installed, measurement sets of version 4 are read in the same way.
Pictures have right ascension to the left, and open in any viewer of FITS. The visibilities of this page are
**simulated**: rotation of the earth and thermal noise of the receivers, but no errors of calibration, no interference
and no moving beam, which real sets have.
"""

import math
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import metaopt as mo
from metaopt.algorithms import Fista
from metaopt.applications.radio import Imaging, Observation, Request, Source, describe, image_file, simulate_file
from metaopt.data import SkyPicture, read_sky_picture, read_visibilities, write_sky_picture
from metaopt.operators import visibility_operator
from metaopt.priors import NonNegative, TotalVariation

folder = Path(tempfile.mkdtemp())
size, cell = 160, math.radians(1 / 3600)  # pixels of one second of arc

# %%
# A measurement set
# -----------------
# The sky is a radio galaxy: a core, a jet, and two lobes with a hot spot each, 2 Jy in all. The array has 27 antennas
# on three arms, as the VLA has; a table of positions, x, y and z in metres, stands for it. It looks for two hours, in
# four channels. :func:`~metaopt.applications.radio.simulate_file` is what ``metaopt radio simulate`` calls.

rows, columns = torch.meshgrid(*[torch.arange(size).double() - size // 2] * 2, indexing="ij")


def blob(row, column, tall, wide, turn=0.0):
    along = (rows - row) * math.cos(turn) + (columns - column) * math.sin(turn)
    across = (columns - column) * math.cos(turn) - (rows - row) * math.sin(turn)
    return torch.exp(-0.5 * ((along / tall).square() + (across / wide).square()))


sky = 8 * blob(0, 0, 1, 1) + 0.3 * blob(9, 14, 1.5, 13, 0.6) + 3 * blob(27, 38, 2, 2) + 2 * blob(-24, -36, 2, 2)
sky += 0.35 * blob(22, 30, 9, 14, 0.5) + 0.3 * blob(-20, -27, 11, 13, 0.3) - 0.2 * blob(-22, -24, 4, 4)
sky = sky.relu() * (2 / sky.relu().sum())
write_sky_picture(folder / "sky.fits", SkyPicture(sky[None], cell, (1.2, 0.7)))

latitude = math.radians(34)
with open(folder / "array.txt", "w") as table:
    for arm in (0.1, 2.2, 4.3):
        for radius in (90.0 * step**1.8 for step in range(1, 10)):
            east, north = radius * math.sin(arm), radius * math.cos(arm)
            print(6.37e6 * math.cos(latitude) - north * math.sin(latitude), east, file=table, end=" ")
            print(6.37e6 * math.sin(latitude) + north * math.cos(latitude), file=table)

observation = Observation(
    str(folder / "array.txt"), duration=7200, frequency=1.4e9, bandwidth=32e6, channels=4, sefd=420.0
)
simulate_file(folder / "sky.fits", folder / "galaxy.ms", observation)
print(describe(read_visibilities(folder / "galaxy.ms")))

# %%
# The largest cell is what the longest baseline needs; coarser ones are refused. Without ``--cell`` a third of it is
# taken.
#
# Pictures
# --------
# ``dirty`` is the Fourier transform of what was measured, which is the sky convolved with a point spread function whose
# sidelobes reach far. ``clean`` is multi-scale CLEAN, restored with a Gaussian beam. ``tv`` and ``nnls`` minimise the
# likelihood with nothing negative, the first with small total variation too. ``rim`` is a trained network, where one is
# shipped. :func:`~metaopt.applications.radio.image_file` is what ``metaopt radio image`` calls.

request = Request(size, cell, planes=1)  # one picture of all channels
source = Source(folder / "galaxy.ms")
pictures = {}
for name, method in (
    ("dirty", Imaging("dirty", weighting="briggs")),
    ("CLEAN, restored", Imaging("clean", weighting="briggs")),
    ("total variation", Imaging("tv")),
):
    made = image_file(source, folder / "galaxy.fits", request, method)
    pictures[name] = read_sky_picture(folder / "galaxy.fits").per_pixel().pixels[0]
    misfit = made.facts[0].misfit
    print(f"{name}: {made.unit}", "" if misfit is None else f"leaves {misfit:.3f} of the noise in the data")


# %%
# 1 of the noise is ideal: a picture that leaves more contradicts the data, and the command says so. Uniform and Briggs
# weighting are for ``dirty`` and ``clean`` alone; a likelihood has the weights of the noise, natural weighting.
#
# The pictures are shown in Jy/pixel, on one scale: those in Jy/beam are divided by the pixels of the beam. SNR is
# ``20 log10(|sky| / |sky - s picture|)``, with the factor s that is best.


def snr(picture):
    scale = float((sky * picture).sum() / picture.square().sum())
    return 20 * math.log10(float(sky.norm() / (sky - scale * picture).norm()))


def show(panels):
    """Pictures of one scale, north up and east to the left, and below what differs from the sky."""
    largest, off = float(sky.quantile(0.995)), float(sky.quantile(0.97))
    _, axes = plt.subplots(2, len(panels), figsize=(2.3 * len(panels), 4.5), layout="constrained", squeeze=False)
    for above, below, (caption, picture) in zip(*axes, panels.items(), strict=True):
        shown = above.imshow(picture, cmap="inferno", origin="lower", vmin=0, vmax=largest)
        wrong = below.imshow(picture - sky, cmap="RdBu_r", origin="lower", vmin=-off, vmax=off)
        above.set_title(caption if picture is sky else f"{caption}\n{snr(picture):.1f} dB", fontsize=9)
        for axis in (above, below):
            axis.set_xticks([])
            axis.set_yticks([])
    axes[0, 0].set_ylabel("picture", fontsize=9)
    axes[1, 0].set_ylabel("picture - sky", fontsize=9)
    plt.colorbar(shown, ax=axes[0], label="Jy/pixel", shrink=0.8)
    plt.colorbar(wrong, ax=axes[1], label="Jy/pixel", shrink=0.8)


show({"sky": sky, **pictures})

# %%
# Beside WSClean
# --------------
# `WSClean <https://wsclean.readthedocs.io>`_ reads the same measurement set, where it is installed. It works on the
# same cells with Briggs weighting and multi-scale CLEAN with automatic masks; its settings are usual ones, not tuned.
# A restored picture is as smooth as the beam, which counts as an error here, and the model has the components alone.
# Figures over many skies and arrays are in :doc:`/results_radio`.

if shutil.which("wsclean"):
    options = (
        f"-j 1 -size {size} {size} -scale 1asec -weight briggs 0 -multiscale -auto-mask 3 -auto-threshold 1 -mgain 0.8 "
        "-niter 50000 -no-update-model-required -name wsclean"
    )
    subprocess.run(["wsclean", *options.split(), "galaxy.ms"], cwd=folder, check=True, capture_output=True)
    theirs = read_sky_picture(folder / "wsclean-image.fits")
    ours = read_sky_picture(folder / "galaxy.fits")
    apart = [a - b for a, b in zip(theirs.direction, ours.direction, strict=True)]
    print(f"the middles of both pictures differ by {max(map(abs, apart)):.1g} radians")
    theirs = {
        "WSClean, restored": theirs.per_pixel().pixels[0],
        "WSClean, model": read_sky_picture(folder / "wsclean-model.fits").pixels[0],
    }
    show({**theirs, **{name: pictures[name] for name in ("CLEAN, restored", "total variation")}})
else:
    print("WSClean is not installed here.")

# %%
# The problem in Python
# ---------------------
# Behind the command are :class:`~metaopt.operators.Visibilities`, or
# :class:`~metaopt.operators.WideVisibilities` where the field is so wide that the w term counts, and
# :class:`~metaopt.InverseProblem`. ``by_normal()`` grids the visibilities once: a step is then one convolution with the
# point spread function, by padded Fourier transforms, in the place of two transforms at all the visibilities, and
# gradients are as before.

found = read_visibilities(folder / "galaxy.ms")
rows = found.read()
operator = visibility_operator(rows.uvw, found.frequency, (size, size), cell, rows.weights)
problem = mo.InverseProblem(operator, operator.whiten(rows.visibilities[None]), noise=1.0)
quick = problem.by_normal()
x = sky[None, None].float()
print("gradients differ by", float((quick.gradient(x) - problem.gradient(x)).norm() / problem.start().norm()))
for name, given in (("two transforms", problem), ("one convolution", quick)):
    begun = time.process_time()
    for _ in range(5):
        given.gradient(x)
    print(f"{name}: {(time.process_time() - begun) / 5 * 1000:.0f} ms of CPU time")

# %%
# It is a problem like any other: any algorithm takes it, and networks can be trained on it. Here FISTA, step by step.

weight = float(rows.weights.sum())  # that of the dirty picture: its noise is the root of 1 / weight
prior = NonNegative(TotalVariation(0.3 * weight**0.5, inner=10, isotropic=False))
algorithm = Fista(prior, 1 / float(operator.spectrum.abs().max()))
state = algorithm.init(quick)._replace(x=torch.zeros_like(x), ahead=torch.zeros_like(x))
kept = {}
for k in range(101):
    state = algorithm.step(quick, state, k)
    if k in (0, 3, 20, 100):
        kept[f"step {k + 1}"] = state.x[0, 0].double()
show(kept)

# %%
# Cubes
# -----
# Without ``--planes`` every channel has its picture; the channels of a file may be in any order, those of the picture
# ascend. Memory is that of one picture for each worker, whatever the size of the set, since visibilities are gridded
# chunk by chunk; in fields so wide that the w term counts, the visibilities of a picture are in memory as well.
# ``workers`` is a number of threads, ``"processes:4"``, or the address of a dask cluster whose workers see the
# same files. What is finished stays in a hidden folder beside the file until that is written: after an interruption, a
# full disk or a killed worker the same command goes on.

made = image_file(source, folder / "cube.fits", Request(size, cell, workers=2), Imaging("clean", steps=100))
cube = read_sky_picture(folder / "cube.fits")
print(tuple(cube.pixels.shape), cube.unit, [f"{float(f) / 1e6:.0f} MHz" for f in cube.frequency])

# %%
# What is refused, and what is said
# ---------------------------------
# Cells that are too coarse alias the longest baselines, a picture smaller than the source is wrong inside too, and
# several fields or windows are not one sky. Flagged, zero-weight and infinite visibilities count nothing; a channel
# without any others is blank.

try:
    image_file(source, folder / "coarse.fits", Request(size, 5 * cell, planes=1), Imaging("dirty"))
except mo.MetaoptError as error:
    print(error)

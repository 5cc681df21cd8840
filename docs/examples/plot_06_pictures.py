"""
Pictures: denoise, enlarge, fill in
===================================

Three trained networks serve picture files of any size, from the command line::

    metaopt denoise noisy.png clean.png --sigma 25
    metaopt upscale small.png large.png --scale 3
    metaopt inpaint scratched.png scratches.png whole.png      # white in the second picture: to be filled in

Depth, colour profile and transparency are kept. Large pictures are done in pieces, with the result of the whole, so
that memory does not grow with the picture. This page does the same from Python, on pictures that no training saw.
"""

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from skimage import data

import metaopt as mo
from metaopt.applications.imaging import denoise, inpaint, upscale
from metaopt.metrics import psnr
from metaopt.models import load
from metaopt.tasks import shrinking


def show(panels, width=2.6):
    """(caption, picture (C, H, W)) side by side, on one scale from black to white."""
    _, axes = plt.subplots(1, len(panels), figsize=(width * len(panels), width + 0.5), layout="constrained")
    for axis, (caption, picture) in zip(axes, panels, strict=True):
        axis.imshow(picture.movedim(0, -1).clamp(0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(caption, fontsize=9)
        axis.set_axis_off()


def score(picture, target):
    return f"{float(psnr(picture.clamp(0, 1)[None], target[None])):.2f} dB"


# %%
# Noise
# -----
# A network for colour sees the three channels together: what is an edge in one is an edge in the others. One for grey
# pictures can take the channels one by one, and shows what that is worth.

astronaut = torch.as_tensor(data.astronaut()).float().movedim(-1, 0) / 255
target = astronaut[:, 30:190, 150:310].contiguous()
noisy = target + 25 / 255 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
together, apart = (denoise(noisy, 25 / 255, load(name)) for name in ("denoise_color", "denoise_grey"))
show(
    [
        (f"noisy, sigma 25\n{score(noisy, target)}", noisy),
        (f"channels one by one\n{score(apart, target)}", apart),
        (f"together\n{score(together, target)}", together),
        ("target\n", target),
    ]
)

# %%
# Too few pixels
# --------------
# The small picture is the large one after antialiased bicubic shrinking. The network knows this operator: at every step
# it sees how far its estimate is from the measurement.

camera = torch.as_tensor(data.camera()).float()[None, 60:240, 170:350] / 255
small = shrinking((180, 180), 3)(camera[None])[0] / 3
bicubic = F.interpolate(small[None], scale_factor=3, mode="bicubic", antialias=True)[0]
enlarged = upscale(small, 3, load("restore_grey"), noise=0.3 / 255)
show(
    [
        ("small, 60 x 60\n", small),
        (f"bicubic\n{score(bicubic, camera)}", bicubic),
        (f"network, x3\n{score(enlarged, camera)}", enlarged),
        ("target, 180 x 180\n", camera),
    ]
)

# %%
# Missing pixels
# --------------
# The same network fills in. What is known is kept to the bit.

generator = torch.Generator().manual_seed(1)
dots = torch.rand(180, 180, generator=generator) < 0.7
rows, columns = torch.meshgrid(torch.arange(180), torch.arange(180), indexing="ij")
scratches = ((rows + 2 * columns) % 45 < 4) | ((2 * rows - columns) % 60 < 4)
panels = []
for name, missing in (("70 % missing", dots), ("scratches", scratches)):
    filled = inpaint(camera, missing, load("restore_grey"), noise=0.3 / 255)
    panels += [(f"{name}\n", torch.where(missing, 0.0, camera)), (f"filled in\n{score(filled, camera)}", filled)]
show(panels)

# %%
# Step by step
# ------------
# A network may run longer than it was trained for, which is how one finds out whether it has settled.

problem = mo.InverseProblem(mo.operators.Identity(), noisy[None], 25 / 255)
with torch.inference_mode():
    outputs = load("denoise_color")(problem, steps=10).outputs
curve = [float(psnr(x.clamp(0, 1), target[None])) for x in (problem.start(), *outputs)]
_, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.plot(range(11), curve, "o-")
axis.axvline(4, color="grey", linestyle=":", label="steps of training")
axis.set(xlabel="step", ylabel="PSNR (dB)", title="astronaut, sigma 25, in colour")
axis.legend()
print("dB after each step:", " ".join(f"{value:.2f}" for value in curve))

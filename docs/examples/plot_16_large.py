"""
A picture larger than memory
============================

A network that is unrolled over T steps needs memory for its state, many channels for each pixel, and a pixel of the
result depends on pixels T times as far away as one step looks. This page runs such a network on pictures that do not
fit, with the result of the whole: in tiles in memory, then on disk. It needs ``pip install '.[scale]'``.

Nothing here is approximate. Each step of a tile reads what its neighbours were after the step before, so that a tile is
computed with a halo of *one* step, and the difference to the whole is rounding.
"""

import tempfile
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import zarr
from skimage import data

import metaopt as mo
from metaopt.models import load
from metaopt.operators import Identity
from metaopt.scale import Convolved, WindowedProblem, out_of_core, step_halo, tiled

# %%
# In tiles, in memory
# -------------------
# The shipped network for denoising looks 39 pixels far in a step. In four steps that would be 156; a tile of 128 pixels
# with such a halo computes 12 times its pixels, with that of one step 2.6 times. Of larger tiles, such as the 1152
# pixels of ``metaopt denoise``, it is at most 1.15 times.

noise = 25 / 255
picture = torch.from_numpy(data.camera())[None, None, :288, :256].double() / 255
noisy = picture + noise * torch.randn(picture.shape, dtype=picture.dtype, generator=torch.Generator().manual_seed(0))
net = load("denoise_grey").double()
problem = mo.InverseProblem(Identity(), noisy, noise)
print("a step looks", step_halo(net, problem.operator), "pixels far")

whole = net(problem).final.detach()
print("in tiles, largest difference:", float((tiled(net, problem, size=128) - whole).abs().max()))

# %%
# The halo must be that of the step. With less, a seam is there, though it may be too faint to be seen:

for halo in (16, 2):
    print(f"halo of {halo:2d}:", float((tiled(net, problem, size=128, halo=halo) - whole).abs().max()))

# %%
# On disk
# -------
# Where the picture itself is on disk, say how a window of it is read. The function gives an
# :class:`~metaopt.InverseProblem` of the window; whatever is large is read from files there, such as noise maps or
# masks. :func:`~metaopt.scale.out_of_core` keeps the state in a folder, one zarr array for each tensor of it.

folder = Path(tempfile.mkdtemp())
stored = zarr.create_array(str(folder / "noisy"), shape=noisy.shape, chunks=(1, 1, 128, 128), dtype="float64")
stored[:] = noisy.numpy()


def read(stored, window):
    return mo.InverseProblem(Identity(), torch.from_numpy(stored[(..., *window)]), noise)


large = WindowedProblem(partial(read, stored), shape=(288, 256))
result = out_of_core(net, large, folder / "run", size=128)
print(result)
print("largest difference:", float((torch.from_numpy(result[:]) - whole).abs().max()))

# %%
# Any window of the result is read by itself:

window = result[0, 0, 60:220, 80:240]
_, axes = plt.subplots(1, 2, figsize=(6, 3.2), layout="constrained")
for axis, shown, caption in zip(axes, (noisy[0, 0, 60:220, 80:240], window), ("noisy", "four steps"), strict=True):
    axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
    axis.set_title(caption, fontsize=9)
    axis.set_axis_off()

# %%
# A run that is cut off
# ---------------------
# Each step is a checkpoint: when it is whole, the state before it is deleted. Here a pass over the tiles ends in an
# error, as it would where a machine is shut down. The same call goes on after the last whole step, and ends with the
# same bytes.

calls = []


def failing(stored, window):
    calls.append(window)
    if len(calls) == 40:
        raise KeyboardInterrupt
    return read(stored, window)


try:
    out_of_core(net, WindowedProblem(partial(failing, stored), shape=(288, 256)), folder / "again", size=128)
except KeyboardInterrupt:
    print("cut off with", sorted(p.name for p in (folder / "again").iterdir() if p.is_dir()))
again = out_of_core(net, large, folder / "again", size=128)
print("the same bytes:", again[:].tobytes() == result[:].tobytes())

# %%
# What is in the folder is of one network, one problem and one size of tiles. Another run is refused:

try:
    out_of_core(load("restore_grey").double(), large, folder / "again", size=128)
except mo.MetaoptError as error:
    print(error)

# %%
# Workers
# -------
# ``workers=4`` computes tiles on four threads; a ``distributed.Client``, or the address of a dask scheduler, on the
# processes of a cluster that see the same folder. Results are the same bytes. With several workers, let torch use one
# thread in each (``OMP_NUM_THREADS=1``).

torch.set_num_threads(1)
threads = out_of_core(net, large, folder / "threads", size=128, steps=1, workers=2)
print("after one step:", threads.shape)

# %%
# Operators that connect all pixels
# ---------------------------------
# A Fourier transform, a circular blur or an interferometer connects all pixels, but what a step needs of it is the
# gradient alone. Where A^H A is a convolution, that is a Fourier transform of all rows, one of all columns, and back.
# :class:`~metaopt.scale.Convolved` holds A^H y and the transform of the kernel; both may be arrays on disk. In memory,
# :func:`~metaopt.scale.tiled` does the same for any operator.

mask = (torch.rand(120, 150, generator=torch.Generator().manual_seed(1)) < 0.5).double()
operator = mo.operators.Fourier(mask)
small = torch.complex(picture[..., :120, :150], torch.zeros(1, 1, 120, 150, dtype=torch.float64))
kspace = mo.InverseProblem(operator, operator(small), 0.02)
untrained = mo.models.rim(hidden=8, steps=2, is_complex=True).double()
expected = untrained(kspace).final.detach()
found = out_of_core(untrained, Convolved(kspace.start(), mask.square(), 0.02), folder / "kspace", size=64)
print("on disk:", float((torch.from_numpy(found[:]) - expected).abs().max()))
print("in memory:", float((tiled(untrained, kspace, size=64) - expected).abs().max()))

# %%
# What is refused
# ---------------
# A network with a layer that looks at all of the picture has another result in tiles. It is tried on a small example
# before a run, and the layer is named:


class Update(torch.nn.Module):
    reach, period = 8, 1

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(2, 8, 3, padding=1), torch.nn.InstanceNorm2d(8))
        self.last = torch.nn.Conv2d(8, 1, 3, padding=1)

    def init(self, x, context=()):
        return ()

    def forward(self, gradient, x, memory, k, context=()):
        return self.last(self.layers(torch.cat([x, noise**2 * gradient], 1))), ()


try:
    tiled(mo.unroll(mo.Descent(Update().double()), 3), problem, size=128)
except mo.MetaoptError as error:
    print(error)

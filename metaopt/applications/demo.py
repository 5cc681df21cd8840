"""Solve three inverse problems on real pictures by trained networks and by FISTA, as a demonstration."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..core import random
from ..files import make_folder
from ..foundation.extras import require
from ..metrics import magnitude, psnr, ssim
from ..models import load
from ..operators import Fourier, Identity, gaussian_mask, gaussian_projection
from ..priors import TotalVariation, Wavelet
from ..problems import InverseProblem
from ..tasks import block_projection, smooth_phase
from ..viewer import Baseline, Iterates, Row, Section, save_strips, write_page
from ..weights import read_card
from .tuning import Tuned, tuned_map

SIGMA = 25 / 255  # standard deviation of the noise on the camera picture, not clipped
MRI_NOISE = 0.02  # standard deviation of the real and of the imaginary part; the brightest pixel is 1
ACCELERATION = 4.0  # pixels over samples of k-space
CENTER = 0.04  # half axis of the fully sampled centre over the extent of k-space
RATIO = 0.25  # random measurements over pixels
BLOCK = 32  # side of the squares that are projected
SEED = 2026  # seed of noise, phase, mask and projection, which no training used

INTRO = (
    "A Recurrent Inference Machine is gradient descent whose update is a small recurrent network: at every step it "
    "sees its estimate, the gradient of the log-likelihood and its own memory, and proposes a change. Move the slider "
    "to go through its time-steps; the vertical mark is how far it was unrolled in training.\n\n"
    "Beside it stands maximum a posteriori estimation, the usual approach, with this library's total variation and "
    "wavelet priors. Their weight was tuned on the very picture that is shown, the network's was not."
)


@dataclass(frozen=True)
class Example:
    """Describe one problem of the demonstration.

    Args:
        title: Its title.
        text: A description of data, operator and noise.
        weights: Name of the trained network.
        problem: The problem.
        target: Its solution.
        given: Pictures of the measurement, by name.
        baselines: For each name a function from a weight to a prior, the number of FISTA steps, and the first weight to
            try.
    """

    title: str
    text: str
    weights: str
    problem: InverseProblem
    target: Tensor
    given: Mapping[str, Tensor]
    baselines: Mapping[str, tuple[Callable[[float], nn.Module], int, float]]


def run_demo(folder: Path, say: Callable[[str], None] = print) -> Path:
    """Reconstruct three pictures, print a table for each, and write ``index.html`` and ``strips.png``.

    Args:
        folder: Where the files go.
        say: Prints a line.

    Returns:
        The path of the page.

    Raises:
        MetaoptError: The folder cannot be written to, or an extra is not installed.
    """
    make_folder(folder)
    sections = []
    for make in (camera_denoised, head_from_kspace, astronaut_from_projections):
        sections.append(show(make(), say))
    save_strips(folder / "strips.png", sections)
    page = write_page(folder, sections, "The Recurrent Inference Machine, step by step", INTRO)
    say(f"\nWrote {page}; open it in a browser and move the slider.")
    return page


def camera_denoised() -> Example:
    """Return the first example: scikit-image's camera with Gaussian noise of 25 grey levels."""
    data = require("skimage.data", "pictures")
    target = torch.as_tensor(data.camera()).float()[None, None] / 255
    y = target + SIGMA * torch.randn(target.shape, generator=random.generator(SEED))
    baselines = {
        "total variation": (lambda w: TotalVariation(w, inner=60), 1, 8.0),
        "wavelets": (lambda w: Wavelet(w, shifts=8), 1, 16.0),
    }
    return Example(
        "Denoising",
        "scikit-image's camera, 512 x 512, with Gaussian noise of standard deviation 25 (of 255), not clipped.",
        "denoise_grey",
        InverseProblem(Identity(), y, SIGMA),
        target,
        {"noisy": y},
        baselines,
    )


def head_from_kspace() -> Example:
    """Return the second example: matplotlib's head MRI slice from every fourth sample of its k-space."""
    cbook = require("matplotlib.cbook", "pictures")
    with cbook.get_sample_data("s1045.ima.gz") as file:
        slice_ = torch.frombuffer(bytearray(file.read()), dtype=torch.uint16).reshape(1, 1, 256, 256).float()
    generator = random.generator(SEED, 1)
    target = slice_ / slice_.max() * smooth_phase((256, 256), generator)
    mask = gaussian_mask((256, 256), ACCELERATION, CENTER, SEED)
    operator = Fourier(mask)
    noise = torch.view_as_complex(torch.randn(1, 1, 256, 256, 2, generator=generator))
    problem = InverseProblem(operator, operator(target + MRI_NOISE * noise), MRI_NOISE)
    baselines = {
        "total variation": (lambda w: TotalVariation(w, inner=10), 60, 22.6),
        "wavelets": (lambda w: Wavelet(w, shifts=4), 40, 21.2),
    }
    return Example(
        "Magnetic resonance imaging",
        "matplotlib's head slice, 256 x 256, given a smooth random phase, from a quarter of its k-space (a Gaussian "
        "density around the centre, which is fully sampled) with complex noise of 0.02 a component. Magnitudes are "
        "shown and measured. The network was trained on other heads and on natural pictures, with random phases, masks "
        "and noise.",
        "mri",
        problem,
        target,
        {"zero-filled": problem.start(), "sampled k-space": torch.fft.fftshift(mask)[None, None]},
        baselines,
    )


def astronaut_from_projections() -> Example:
    """Return the third example: scikit-image's astronaut from random Gaussian projections of 32 x 32 squares."""
    color, data = require("skimage.color", "pictures"), require("skimage.data", "pictures")
    target = torch.as_tensor(color.rgb2gray(data.astronaut())[:256, 96:352]).float()[None, None].contiguous()
    operator = block_projection(gaussian_projection, RATIO, (1, 256, 256), BLOCK, SEED)
    clean = operator(target)
    y = clean + torch.randn(clean.shape, generator=random.generator(SEED, 2)) / 255
    problem = InverseProblem(operator, y, 1 / 255, guess=0.5).normalized()
    baselines = {
        "total variation": (lambda w: TotalVariation(w, inner=10), 240, 240.0),
        "wavelets": (lambda w: Wavelet(w, shifts=4), 80, 1840.0),
    }
    return Example(
        "Random projections",
        "scikit-image's astronaut, 256 x 256: every 32 x 32 square is measured by 256 random Gaussian projections of "
        "its 1024 pixels, with noise of one grey level. All methods start from the same guess, a middle grey that the "
        "measurement corrects.",
        "random_projections",
        problem,
        target,
        {"first guess": problem.start()},
        baselines,
    )


def show(example: Example, say: Callable[[str], None]) -> Section:
    """Run the network for twice its trained steps and the baselines, and print a table of the results.

    Args:
        example: The problem.
        say: Prints a line.

    Returns:
        The section of the page.
    """
    target = magnitude(example.target)
    trained = read_card(example.weights)["trained_steps"]
    shown = 2 * trained
    estimates, seconds = _run(example, shown)
    curve = [float(psnr(e, target)) for e in estimates]
    say(f"\n{example.title}: {example.text}\n")
    say(f"{'':24}{'step':>5}{'PSNR (dB)':>11}{'SSIM':>8}{'s/step':>9}")
    for t, (estimate, value) in enumerate(zip(estimates, curve, strict=True)):
        name = "start" if t == 0 else f"RIM{' (trained to here)' if t == trained else ''}"
        pace = "" if t == 0 else f"{seconds:9.3f}"
        say(f"{name:24}{t:5d}{value:11.2f}{float(ssim(estimate, target)):8.3f}{pace}")
    rows = [_row("RIM", estimates[t], curve[t], target, t, seconds) for t in (trained, shown)]
    baselines = []
    for name, (prior, steps, start) in example.baselines.items():
        tuned = tuned_map(example.problem, example.target, prior, steps, start)
        estimate = magnitude(tuned.estimate)
        row = _row(f"MAP, {name}", estimate, tuned.psnr, target, tuned.steps, tuned.seconds / tuned.steps)
        say(f"{row.method:24}{row.steps:5d}{row.psnr:11.2f}{row.ssim:8.3f}{row.seconds_per_step:9.3f}   {_grid(tuned)}")
        rows.append(row)
        baselines.append(Baseline(row.method, _shown(estimate), row.psnr))
    iterates = Iterates([_shown(e) for e in estimates], curve, trained)
    given = {name: _shown(magnitude(picture)) for name, picture in example.given.items()}
    return Section(example.title, example.text, _shown(target), iterates, baselines, rows, given)


def _run(example: Example, steps: int) -> tuple[list[Tensor], float]:
    """Return the estimates from the start on, and the seconds per step after one step of warm-up."""
    net = load(example.weights)
    with torch.inference_mode():
        net(example.problem, steps=1)
        begun = time.perf_counter()
        outputs = net(example.problem, steps=steps).outputs
        seconds = (time.perf_counter() - begun) / steps
    return [magnitude(x) for x in (example.problem.start(), *outputs)], seconds


def _row(method: str, estimate: Tensor, value: float, target: Tensor, steps: int, seconds: float) -> Row:
    return Row(method, value, float(ssim(estimate, target)), steps, seconds)


def _grid(tuned: Tuned) -> str:
    weights: Sequence[float] = sorted(tuned.grid)
    return f"weight {tuned.weight:.3g}, best of {len(weights)} from {weights[0]:.3g} to {weights[-1]:.3g}"


def _shown(x: Tensor) -> Tensor:
    """Return the single picture of a batch, clipped to the range of a screen."""
    return x[0, 0].clamp(0, 1)

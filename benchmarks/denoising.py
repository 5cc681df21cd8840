"""Denoising BSD68, grey and in colour, beside what does not learn and what learns a prior alone.

Noise is Gaussian, once as it is and once clipped and rounded to 8 bits; PSNR and SSIM are means over the pictures of
the estimate clipped to [0, 1]. Classical weights are chosen on crops of other pictures, for every noise level, with the
best inside a grid. BM3D, which takes long, runs on every so-manieth picture, and so does the machine beside it for the
comparison of times (in turn, on the same pictures and cores). Two machines of equal size, equal patches and equally
brief training on one core, a RIM and an unrolled proximal network, are compared with one another. Figures marked as
published are others'. The figures are of scikit-image's pictures.

Needs the packages of the extra ``benchmark``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.models import load, read_card

from .figures import crop_of, draw_curves, draw_panels
from .imaging import (
    Method,
    Pairs,
    crops,
    curve,
    in_bfloat16,
    machine,
    mean_quality,
    measured,
    pictures,
    published,
    quality,
    row,
    take_data,
    total_variation,
    tuned,
)
from .report import Rows, parse_options, table, write_results

FULL = {"sigmas": (15, 25, 50), "every": 1, "few": 8, "tuning": 10, "steps": 8}
QUICK = {"sigmas": (25,), "every": 17, "few": 4, "tuning": 2, "steps": 4}
GREY, COLOUR = "denoise_grey", "denoise_color"
LEARNED_PRIOR = "learned_map"
COMPARED = Path(__file__).parent / "weights"
BRIEF = {"RIM, brief training": "rim_brief", "proximal network, brief training": "proximal_brief"}
SEED = 0
PUBLISHED = {  # BSD68, noise not clipped
    "BM3D": (31.08, 28.56, 25.62),
    "RIM-denoise": (31.31, 28.91, 26.06),
    "TNRD": (31.42, 28.92, 25.97),
    "DnCNN-B": (31.61, 29.16, 26.23),
}
SHOWN = ["set", "noise", "sigma", "method", "pictures", "psnr", "ssim", "seconds", "GiB"]


def noisy(targets: Sequence[Tensor], sigma: float, quantised: bool = False) -> Pairs:
    """Picture i of every set has noise of seed i."""
    pairs = []
    for i, target in enumerate(targets):
        y = target + sigma / 255 * torch.randn(target.shape, generator=torch.Generator().manual_seed(SEED + i))
        y = (255 * y).round().clamp(0, 255) / 255 if quantised else y
        pairs.append((mo.InverseProblem(mo.operators.Identity(), y, sigma / 255), target))
    return pairs


@torch.inference_mode()
def wavelets(weight: float, problem: mo.InverseProblem) -> Tensor:
    return mo.Wavelet(weight, shifts=8).prox(problem.y, problem.noise**2)


def non_local_means(weight: float, problem: mo.InverseProblem) -> Tensor:
    from skimage.restoration import denoise_nl_means

    sigma, y = float(problem.noise), problem.y[0].movedim(0, -1).numpy()
    found = denoise_nl_means(y, 5, 6, h=weight * sigma, sigma=sigma, fast_mode=True, channel_axis=-1)
    return torch.as_tensor(found.reshape(y.shape)).movedim(-1, 0)[None]


def bm3d(problem: mo.InverseProblem) -> Tensor:
    import bm3d as library

    y, sigma = problem.y[0].movedim(0, -1).double().numpy(), float(problem.noise)
    found = library.bm3d_rgb(y, sigma) if y.shape[-1] == 3 else library.bm3d(y[..., 0], sigma)[..., None]
    return torch.as_tensor(found).movedim(-1, 0)[None].float()


CLASSICAL: dict[str, tuple[Callable[[float, mo.InverseProblem], Tensor], float]] = {  # and a weight to start from
    "wavelets": (wavelets, 16.0),
    "total variation": (total_variation(1, inner=60), 8.0),
    "non-local means": (non_local_means, 0.8),
}


def speed(first: Method, second: Method, pairs: Pairs) -> dict[str, Any]:
    """Both on every picture in turn: the second's row, and its time over the first's (median and quartiles)."""
    ratios, estimates, seconds = [], [], []
    for run in (first, second):
        run(pairs[0][0])
    for problem, target in pairs:
        begin = time.perf_counter()
        first(problem)
        between = time.perf_counter()
        estimates.append((second(problem), target))
        end = time.perf_counter()
        ratios.append((end - between) / (between - begin))
        seconds.append(end - between)
    low, middle, high = statistics.quantiles(ratios, n=4)
    speeds = {"times_machine": middle, "times_machine_low": low, "times_machine_high": high}
    return {**mean_quality(estimates), "seconds": statistics.median(seconds), **speeds}


def rows_of(name: str, sigma: float, quantised: bool, size: dict[str, Any], saved: Rows) -> list[dict[str, Any]]:
    grey = name == "bsd68"
    weights = GREY if grey else COLOUR
    targets = pictures("natural/bsd68_gray" if grey else "natural/cbsd68", grey, size["every"])
    pairs = noisy(targets, sigma, quantised)
    held = noisy(crops(size["tuning"], 160, grey), sigma, quantised)
    few = pairs[:: size["few"]] if len(pairs) > 2 * size["few"] else pairs

    def classical(method: str) -> dict[str, Any]:
        run, start = CLASSICAL[method]
        weight = tuned(run, held, start)
        return {**row(lambda problem: run(weight, problem), pairs), "weight": weight}

    rim = machine(weights)
    methods: dict[str, Callable[[], dict[str, Any]]] = {
        "noisy": lambda: mean_quality((problem.y, target) for problem, target in pairs),
        **{method: lambda method=method: classical(method) for method in CLASSICAL},
        "RIM": lambda: {**row(rim, pairs), **curve(load(weights), pairs, size["steps"])},
        "RIM, 3 steps": lambda: row(machine(weights, 3), pairs),
        "RIM, bfloat16": lambda: row(in_bfloat16(rim), pairs),
        "RIM, few": lambda: mean_quality((rim(problem), target) for problem, target in few),
        "BM3D, few": lambda: speed(rim, bm3d, few),
    }
    if grey:
        methods["MAP, learned prior"] = lambda: row(machine(LEARNED_PRIOR), pairs)
        for method, file in BRIEF.items():
            methods[method] = lambda file=file: row(machine(COMPARED / f"{file}.safetensors"), pairs)
    return measured({"set": name, "noise": "8 bit" if quantised else "as it is", "sigma": sigma}, methods, saved)


def draw(rows: Sequence[dict[str, Any]]) -> None:
    """Crops by every method, the machine step by step, and the mean PSNR after every step."""
    from skimage import data

    sigma = 25
    of_grey = {(r["noise"], r["sigma"], r["method"]): r for r in rows if r["set"] == "bsd68"}
    whole = torch.as_tensor(data.camera())[None, None].float() / 255
    problem, _ = noisy([whole], sigma)[0]
    target, place = crop_of(whole, 60, 170, 128), (60, 170, 128)

    def panel(name: str, estimate: Tensor) -> tuple[str, Tensor]:
        part = crop_of(estimate, *place)
        return f"{name}\n{quality(part, target)[0]:.2f} dB", part

    estimates = {"noisy": problem.y}
    for method, (run, _) in CLASSICAL.items():
        estimates[method] = run(of_grey["as it is", sigma, method]["weight"], problem)
    estimates |= {"BM3D": bm3d(problem), "RIM": machine(GREY)(problem)}
    with torch.inference_mode():
        outputs = [problem.start(), *load(GREY)(problem, steps=2 * read_card(GREY)["trained_steps"]).outputs]
    walk = [panel(f"step {k}" if k else "start", outputs[k]) for k in (0, 1, 2, 3, 4, 8)]
    compared = [panel(name, estimate) for name, estimate in estimates.items()]
    end = [("target\n", target)]
    draw_panels("denoising", [(f"sigma {sigma}", compared + end), ("RIM, step by step", walk + end)])
    curves = {}
    for level in FULL["sigmas"]:
        at = of_grey["as it is", level, "RIM"]["psnr_at"]
        flat = {
            method: [of_grey["as it is", level, method]["psnr"]] * len(at)
            for method in ("total variation", "non-local means", "MAP, learned prior")
        }
        curves[f"BSD68, sigma {level}"] = {"RIM": at, **flat}
    draw_curves("denoising_steps", curves, {"steps of training": read_card(GREY)["trained_steps"]})


def main() -> None:
    options = parse_options(__doc__)
    take_data(options.data)
    size: dict[str, Any] = QUICK if options.quick else FULL
    names = (GREY, COLOUR, LEARNED_PRIOR)
    cards = {name: read_card(name) for name in names}
    cards |= {name: read_card(COMPARED / f"{name}.safetensors") for name in BRIEF.values()}
    settings = {**size, "weights": cards}
    saved, rows = Rows("denoising", settings, options.quick), []
    for quantised in (False, True):
        for sigma in size["sigmas"]:
            rows += rows_of("bsd68", sigma, quantised, size, saved)
    rows += rows_of("cbsd68", 25, True, size, saved)
    known = published(PUBLISHED, (15, 25, 50), "sigma")
    rows += [{"set": "bsd68", "noise": "as it is", **r} for r in known if r["sigma"] in size["sigmas"]]
    print("\n" + table(rows, SHOWN))

    def figure(name: str, kind: str, sigma: int, method: str, key: str = "psnr") -> float:
        return next(
            r[key] for r in rows if (r["set"], r["noise"], r["sigma"], r["method"]) == (name, kind, sigma, method)
        )

    grey = {sigma: figure("bsd68", "as it is", sigma, "RIM") for sigma in size["sigmas"]}
    headline = {
        **{f"psnr_{sigma}": round(value, 2) for sigma, value in grey.items()},
        "color_25": round(figure("cbsd68", "8 bit", 25, "RIM"), 2),
        "bm3d_speedup": round(figure("bsd68", "as it is", 25, "BM3D, few", "times_machine"), 2),
        "gain_over_map_25": round(grey[25] - figure("bsd68", "as it is", 25, "MAP, learned prior"), 2),
    }
    if not options.quick:
        draw(rows)
    write_results("denoising", headline, rows, settings, [SEED], options.quick)


if __name__ == "__main__":
    main()

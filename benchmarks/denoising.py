"""Denoising BSD68, grey and in colour, beside what does not learn and what learns a prior alone.

Noise is Gaussian, once as it is and once clipped and rounded to 8 bits (then on every fourth of the grey pictures);
PSNR and SSIM are means over the pictures of the estimate clipped to [0, 1]. Classical weights are chosen on crops of
other pictures, for every noise level, with the best inside a grid. BM3D, which takes long, runs on every so-manieth
picture, and so does the network beside it. Two networks of equal size, equal patches and equally brief training on one
core, a RIM and an unrolled proximal network, are compared with one another; they and the learned prior run on noise as
it is. Figures marked as published are others'. Times are of one picture, all methods in turn. The figures are of
scikit-image's pictures.

Needs the packages of the extra ``benchmark``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.models import load
from metaopt.weights import read_card

from .figures import crop_of, draw_curves, draw_panels
from .imaging import (
    VALIDATION,
    Method,
    Pairs,
    crops,
    curve,
    in_bfloat16,
    mean_quality,
    measured,
    middle,
    network,
    pictures,
    published,
    quality,
    total_variation,
    tuned,
)
from .memory import peak_of
from .report import need, paired, parse_options, table
from .rows import Rows, weights_of

FULL = {
    "sigmas": (15, 25, 50),
    "every": 1,
    "few": 8,
    "tuning": 10,
    "steps": 8,
    "rounds": 9,
    "quantised": (False, True),
    "side": None,
}
QUICK = {
    "sigmas": (25,),
    "every": 68,
    "few": 4,
    "tuning": 1,
    "steps": 4,
    "rounds": 1,
    "quantised": (False,),
    "side": 160,
}
GREY, COLOUR = "denoise_grey", "denoise_color"
OURS = "RIM, bfloat16"  # of the headline
LEARNED_PRIOR = "learned_map"
COMPARED = Path(__file__).parent / "weights"
DATA = {"bsd68": "natural/bsd68_gray", "cbsd68": "natural/cbsd68"}
BRIEF = {"RIM, brief training": "rim_brief", "proximal network, brief training": "proximal_brief"}
EIGHT_BIT = 4  # grey noise that is clipped and rounded is on every so-manieth picture
SEED = 0
PUBLISHED = {  # BSD68, noise not clipped
    "BM3D": (31.08, 28.56, 25.62),
    "RIM-denoise": (31.31, 28.91, 26.06),
    "TNRD": (31.42, 28.92, 25.97),
    "DnCNN-B": (31.61, 29.16, 26.23),
}
SHOWN = ["set", "noise", "sigma", "method", "pictures", "psnr", "ssim"]


def noisy(targets: Sequence[Tensor], sigma: float, quantised: bool = False) -> Pairs:
    """Picture i of every set has the noise of stream i."""
    pairs = []
    for i, target in enumerate(targets):
        y = target + sigma / 255 * torch.randn(target.shape, generator=mo.core.random.generator(SEED, i))
        y = (255 * y).round().clamp(0, 255) / 255 if quantised else y
        pairs.append((mo.InverseProblem(mo.operators.Identity(), y, sigma / 255), target))
    return pairs


@torch.inference_mode()
def wavelets(weight: float, problem: mo.InverseProblem) -> Tensor:
    return mo.priors.Wavelet(weight, shifts=8).prox(problem.y, problem.noise**2)


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


def rows_of(name: str, sigma: float, quantised: bool, size: dict[str, Any], saved: Rows) -> list[dict[str, Any]]:
    """Quality by every method, and the tuned weights."""
    grey = name == "bsd68"
    weights = GREY if grey else COLOUR
    every = size["every"] * (EIGHT_BIT if grey and quantised else 1)
    targets = [middle(picture, size["side"]) for picture in pictures(DATA[name], grey, every)]
    pairs = noisy(targets, sigma, quantised)
    held = noisy(crops(size["tuning"], 160, grey), sigma, quantised)
    few = pairs[:: size["few"]] if len(pairs) > 2 * size["few"] else pairs

    def scored(run: Method, pairs: Pairs = pairs) -> dict[str, Any]:
        return mean_quality((run(problem), target) for problem, target in pairs)

    def classical(method: str) -> dict[str, Any]:
        run, start = CLASSICAL[method]
        weight = tuned(run, held, start)
        return {**scored(lambda problem: run(weight, problem)), "weight": weight}

    def rim() -> dict[str, Any]:
        found, trained = curve(load(weights), pairs, size["steps"]), read_card(weights)["trained_steps"]
        return {"psnr": found["psnr_at"][trained], "ssim": found["ssim_at"][trained], "pictures": len(pairs), **found}

    methods: dict[str, Callable[[], dict[str, Any]]] = {
        "noisy": lambda: scored(lambda problem: problem.y),
        **{method: lambda method=method: classical(method) for method in CLASSICAL},
        "RIM": rim,
        "RIM, bfloat16": lambda: scored(in_bfloat16(network(weights))),
        "RIM, few": lambda: scored(network(weights), few),
        "BM3D, few": lambda: scored(bm3d, few),
    }
    if grey and not quantised:
        methods["MAP, learned prior"] = lambda: scored(network(LEARNED_PRIOR))
        for method, file in BRIEF.items():
            methods[method] = lambda file=file: scored(network(COMPARED / f"{file}.safetensors"))
    labels = {"set": name, "noise": "8 bit" if quantised else "as it is", "sigma": sigma}
    files = {method: weights_of(weights) for method in methods if method.startswith("RIM")}
    return measured(labels, methods, saved, [DATA[name], VALIDATION], {**files, **trained_of()})


def trained_of() -> dict[str, Path]:
    """The weights files of what else is trained."""
    brief = {method: COMPARED / f"{file}.safetensors" for method, file in BRIEF.items()}
    return {"MAP, learned prior": weights_of(LEARNED_PRIOR), **brief}


def timings(weights: dict[str, float], size: dict[str, Any]) -> list[dict[str, Any]]:
    """Seconds and memory of every method on one picture of BSD68, in turn; ``weights`` are those of classical ones."""
    first = middle(pictures(DATA["bsd68"], every=size["every"])[0], size["side"])
    problem, _ = noisy([first], 25)[0]
    methods: dict[str, Method] = {
        "RIM": network(GREY),
        "RIM, 3 steps": network(GREY, 3),
        "RIM, bfloat16": in_bfloat16(network(GREY)),
        **{name: functools.partial(CLASSICAL[name][0], weight) for name, weight in weights.items()},
        "BM3D": bm3d,
        "MAP, learned prior": network(LEARNED_PRIOR),
        **{name: network(COMPARED / f"{file}.safetensors") for name, file in BRIEF.items()},
    }
    functions = {name: functools.partial(run, problem) for name, run in methods.items()}
    taken = paired(functions, size["rounds"], warmup=1)
    return [{"timed": name, **taken[name], "GiB": peak_of(run)[1]} for name, run in functions.items()]


def draw(rows: Sequence[dict[str, Any]]) -> list[Path]:
    """Crops by every method, the network step by step, and the mean PSNR after every step."""
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
    estimates |= {"BM3D": bm3d(problem), "RIM": network(GREY)(problem)}
    with torch.inference_mode():
        outputs = [problem.start(), *load(GREY)(problem, steps=2 * read_card(GREY)["trained_steps"]).outputs]
    walk = [panel(f"step {k}" if k else "start", outputs[k]) for k in (0, 1, 2, 3, 4, 8)]
    compared = [panel(name, estimate) for name, estimate in estimates.items()]
    end = [("target\n", target)]
    panels = draw_panels("denoising", [(f"sigma {sigma}", compared + end), ("RIM, step by step", walk + end)])
    curves = {}
    for level in FULL["sigmas"]:
        at = of_grey["as it is", level, "RIM"]["psnr_at"]
        flat = {
            method: [of_grey["as it is", level, method]["psnr"]] * len(at)
            for method in ("total variation", "non-local means", "MAP, learned prior")
        }
        curves[f"BSD68, sigma {level}"] = {"RIM": at, **flat}
    return [panels, draw_curves("denoising_steps", curves, {"steps of training": read_card(GREY)["trained_steps"]})]


def headline(rows: Sequence[dict[str, Any]], times: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Quality and speed are both those of the network in bfloat16."""
    at = {(r["set"], r["noise"], r["sigma"], r["method"]): r["psnr"] for r in rows}
    grey = {sigma: at["bsd68", "as it is", sigma, OURS] for sigma in {r["sigma"] for r in rows if "RIM" in r["method"]}}
    ratio = {row["timed"]: row["ratio"] for row in times}
    found = {f"psnr_{sigma}": grey[sigma] for sigma in sorted(grey)}
    found |= {"color_25": at["cbsd68", "8 bit", 25, OURS], "bm3d_speedup": ratio["BM3D"] / ratio[OURS]}
    found["gain_over_map_25"] = grey[25] - at["bsd68", "as it is", 25, "MAP, learned prior"]
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    options = parse_options(__doc__)
    need(options, [*DATA.values(), VALIDATION], ["bm3d"])
    size: dict[str, Any] = QUICK if options.quick else FULL
    saved, rows = Rows("denoising", size, options), []
    for quantised in size["quantised"]:
        for sigma in size["sigmas"]:
            rows += rows_of("bsd68", sigma, quantised, size, saved)
    rows += rows_of("cbsd68", 25, True, size, saved)
    known = saved.rows("published", lambda: published(PUBLISHED, (15, 25, 50), "sigma"))
    rows += [{"set": "bsd68", "noise": "as it is", **r} for r in known if r["sigma"] in size["sigmas"]]
    at = {r["method"]: r for r in rows if (r["set"], r["noise"], r["sigma"]) == ("bsd68", "as it is", 25)}
    weights = {method: at[method]["weight"] for method in CLASSICAL}
    reads = [DATA["bsd68"], weights_of(GREY), *trained_of().values()]
    times = saved.rows("times", lambda: timings(weights, size), reads, weights)
    print("\n" + table(rows, SHOWN) + "\n\n" + table(times) + "\n")

    drawn = [] if options.quick else draw(rows)
    saved.write(headline(rows, times), [*rows, *times], [SEED], drawn)


if __name__ == "__main__":
    main()

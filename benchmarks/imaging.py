"""What the imaging benchmarks share: pictures, tuned weights, a network's quality after every step."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.tuning import best_weight
from metaopt.core import Unrolled
from metaopt.data import read_pictures
from metaopt.metrics import psnr, ssim
from metaopt.models import load

from .memory import peak_of
from .rows import Read, Rows

VALIDATION = "natural/bsds500_extra"  # where weights of classical rivals are chosen; no test picture
Method = Callable[[mo.InverseProblem], Tensor]
Pairs = Sequence[tuple[Any, Tensor]]  # of a problem and its target


def pictures(folder: str, grey: bool = True, every: int = 1) -> list[Tensor]:
    """Every so-manieth picture of a folder of the data, by name, as (1, C, H, W) in [0, 1]."""
    return [picture[None].float() / 255 for picture in read_pictures(folder, grey)[::every]]


def middle(picture: Tensor, side: int | None) -> Tensor:
    """The middle ``side`` x ``side`` pixels of (1, C, H, W); all of it where ``side`` is None."""
    if side is None:
        return picture
    top, left = ((n - side) // 2 for n in picture.shape[-2:])
    return picture[..., top : top + side, left : left + side]


def crops(count: int, size: int, grey: bool = True) -> list[Tensor]:
    """The middles of ``count`` pictures of the validation folder, as (1, C, size, size)."""
    every = max(1, 200 // count)
    return [middle(picture, size) for picture in pictures(VALIDATION, grey, every)[:count]]


def quality(estimate: Tensor, target: Tensor, border: int = 0) -> tuple[float, float]:
    """PSNR in dB and SSIM of one picture, clipped to [0, 1], without ``border`` pixels at each side."""
    inside = (..., slice(border, target.shape[-2] - border), slice(border, target.shape[-1] - border))
    clipped = estimate.clamp(0, 1)[inside].contiguous()
    return float(psnr(clipped, target[inside])), float(ssim(clipped, target[inside].contiguous()))


def tuned(run: Callable[[float, Any], Tensor], pairs: Pairs, start: float, ratio: float = 2**0.5) -> float:
    """The weight with the highest mean PSNR of ``run(weight, problem)`` over the pairs, inside its grid."""

    def score(weight: float) -> float:
        return statistics.mean(float(psnr(run(weight, problem).clamp(0, 1), target)) for problem, target in pairs)

    return best_weight(score, start, ratio)[0]


def mean_quality(estimates: Iterable[tuple[Tensor, Tensor]], border: int = 0) -> dict[str, float]:
    scores = [quality(estimate, target, border) for estimate, target in estimates]
    psnrs, ssims = zip(*scores, strict=True)
    return {"psnr": statistics.mean(psnrs), "ssim": statistics.mean(ssims), "pictures": len(scores)}


def network(weights: str | Path, steps: int | None = None) -> Method:
    net = load(weights)

    @torch.inference_mode()
    def run(problem: mo.InverseProblem) -> Tensor:
        return net(problem, steps=steps).final

    return run


def in_bfloat16(run: Callable[..., Any]) -> Callable[..., Any]:
    """The networks alone; the model of the measurement stays in single precision, and so does the estimate."""

    @functools.wraps(run)
    def lower(*arguments: Any, **keywords: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return run(*arguments, **keywords)

    return lower


def row(run: Method, pairs: Pairs, border: int = 0) -> dict[str, float]:
    """Mean quality, and time and memory of a picture (medians; the first has warmed up)."""
    run(pairs[0][0])
    _, peak = peak_of(lambda: run(pairs[0][0]))
    estimates, seconds = [], []
    for problem, target in pairs:
        begin = time.perf_counter()
        estimates.append((run(problem), target))
        seconds.append(time.perf_counter() - begin)
    return {**mean_quality(estimates, border), "seconds": statistics.median(seconds), "GiB": peak}


@torch.inference_mode()
def curve(net: Unrolled[Any, Any, Any], pairs: Pairs, steps: int, border: int = 0) -> dict[str, list[float]]:
    """Mean PSNR and SSIM after 0, 1, ... steps."""
    runs = [
        [quality(x, target, border) for x in (problem.start(), *net(problem, steps=steps).outputs)]
        for problem, target in pairs
    ]
    names = ("psnr_at", "ssim_at")
    return {name: [statistics.mean(s[i] for s in at) for at in zip(*runs, strict=True)] for i, name in enumerate(names)}


def total_variation(steps: int, inner: int = 10) -> Callable[[float, mo.InverseProblem], Tensor]:
    """Maximum a posteriori by FISTA, or by a single prox where the operator is the identity."""

    @torch.inference_mode()
    def run(weight: float, problem: mo.InverseProblem) -> Tensor:
        prior = mo.priors.TotalVariation(weight, inner=inner)
        if isinstance(problem.operator, mo.operators.Identity):
            return prior.prox(problem.y, problem.noise**2)
        return mo.unroll(mo.Fista(prior, mo.algorithms.step_size_for(problem)), steps, keep="last")(problem).final

    return run


def measured(
    labels: Mapping[str, Any],
    methods: Mapping[str, Callable[[], dict[str, Any]]],
    saved: Rows,
    data: Sequence[Read],
    weights: Mapping[str, Read],
) -> list[dict[str, Any]]:
    """A row for each method, with what ``labels`` say of all; ``weights`` are those of the methods that have any."""
    where, rows = " ".join(str(label) for label in labels.values()), []
    for method, compute in methods.items():
        reads = [*data, weights[method]] if method in weights else data
        rows.append({**labels, "method": method, **saved.row(f"{where} {method}", compute, reads)})
        print(f"{where} {method}: {rows[-1]['psnr']:.2f} dB", flush=True)
    return rows


def published(rows: Mapping[str, Sequence[float]], settings: Sequence[Any], name: str) -> list[dict[str, Any]]:
    """Rows of other people's figures, marked as such; ``settings`` are what their values belong to, as ``name``."""
    return [
        {"method": f"{method} (published)", name: setting, "psnr": value}
        for method, values in rows.items()
        for setting, value in zip(settings, values, strict=True)
    ]

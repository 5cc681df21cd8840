"""What the imaging benchmarks share: pictures, tuned weights, a machine's quality after every step."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.classical import best_weight
from metaopt.core import Unrolled
from metaopt.data import read_pictures
from metaopt.metrics import psnr, ssim

VALIDATION = "natural/bsds500_extra"  # where weights of classical rivals are chosen; no test picture
Pairs = Sequence[tuple[Any, Tensor]]  # of a problem and its target


def take_data(folder: Path | None) -> None:
    """Let ``metaopt.data`` read from ``folder``."""
    if folder is None:
        raise SystemExit("Say where the data is: --data DIR, or METAOPT_DATA.")
    os.environ["METAOPT_DATA"] = str(folder)


def pictures(folder: str, grey: bool = True, every: int = 1) -> list[Tensor]:
    """Every so-manieth picture of a folder of the data, by name, as (1, C, H, W) in [0, 1]."""
    return [picture[None].float() / 255 for picture in read_pictures(folder, grey)[::every]]


def crops(count: int, size: int, grey: bool = True) -> list[Tensor]:
    """The middles of ``count`` pictures of the validation folder, as (1, C, size, size)."""
    every = max(1, 200 // count)
    found = []
    for picture in pictures(VALIDATION, grey, every)[:count]:
        top, left = ((n - size) // 2 for n in picture.shape[-2:])
        found.append(picture[..., top : top + size, left : left + size])
    return found


def quality(estimate: Tensor, target: Tensor, border: int = 0) -> tuple[float, float]:
    """PSNR in dB and SSIM of one picture, clipped to [0, 1], without ``border`` pixels at each side."""
    inside = (..., slice(border, target.shape[-2] - border), slice(border, target.shape[-1] - border))
    clipped = estimate.clamp(0, 1)[inside].contiguous()
    return float(psnr(clipped, target[inside])), float(ssim(clipped, target[inside].contiguous()))


def tuned(run: Callable[[float, Any], Tensor], pairs: Pairs, start: float, ratio: float = 2**0.5) -> float:
    """The weight with the highest mean PSNR of ``run(weight, problem)`` over the pairs, inside its grid."""

    def score(weight: float) -> float:
        return statistics.mean(quality(run(weight, problem), target)[0] for problem, target in pairs)

    return best_weight(score, start, ratio)[0]


def mean_quality(estimates: Iterable[tuple[Tensor, Tensor]], border: int = 0) -> dict[str, float]:
    scores = [quality(estimate, target, border) for estimate, target in estimates]
    return {"psnr": statistics.mean(s[0] for s in scores), "ssim": statistics.mean(s[1] for s in scores)}


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
        prior = mo.TotalVariation(weight, inner=inner)
        if isinstance(problem.operator, mo.operators.Identity):
            return prior.prox(problem.y, problem.noise**2)
        return mo.unroll(mo.Fista(prior, mo.step_size_for(problem)), steps, keep="last")(problem).final

    return run


def published(rows: Mapping[str, Sequence[float]], settings: Sequence[Any], name: str) -> list[dict[str, Any]]:
    """Rows of other people's figures, marked as such; ``settings`` are what their values belong to, as ``name``."""
    return [
        {"method": f"{method} (published)", name: setting, "psnr": value}
        for method, values in rows.items()
        for setting, value in zip(settings, values, strict=True)
    ]

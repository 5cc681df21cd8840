"""Denoising, inpainting and super-resolution by a network that saw nothing but random projections in training.

Part of ``python -m benchmarks.random_projections``, which writes the results; alone it prints them. Beside it: what
interpolates, and the network trained for the task.
The networks compute in bfloat16. What is run to 4 T is run on fewer pictures, and so is the T beside it.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.tasks import shrinking

from .denoising import GREY, noisy
from .imaging import Method, Pairs, in_bfloat16, mean_quality, middle, network, pictures
from .report import need, parse_options, table
from .rows import Rows, weights_of
from .super_resolution import WEIGHTS as RESTORE
from .super_resolution import interpolated

DATA = ("natural/bsd68_gray",)
SIGMAS, SHARES, FACTORS = (15, 25, 50), (0.5, 0.2), (2, 3)
NOISE = 1 / 255  # of inpainting and super-resolution
QUICK = {"every": 68, "side": 128}  # of a quick run: one picture, of which it takes the middle
THINNED, ALL_OF = 4, 20  # these two, and runs to 4 T, are of every so-manieth picture, but of all of so few


def masked(target: Tensor, share: float, seed: int) -> tuple[mo.InverseProblem, Tensor]:
    """A random share of the pixels is known, up to noise."""
    generator = mo.core.random.generator(seed)
    mask = (torch.rand(target.shape[-2:], generator=generator) < share).float()
    y = mask * (target + NOISE * torch.randn(target.shape, generator=generator))
    return mo.InverseProblem(mo.operators.Mask(mask), y, NOISE), target


def shrunk(target: Tensor, factor: int, seed: int) -> tuple[mo.InverseProblem, Tensor]:
    height, width = (n // factor * factor for n in target.shape[-2:])
    target = target[..., :height, :width].contiguous()
    operator = shrinking(tuple(target.shape), factor)
    y = operator(target)
    y = y + factor * NOISE * torch.randn(y.shape, generator=mo.core.random.generator(seed))
    return mo.InverseProblem(operator, y, factor * NOISE), target


def linear(problem: mo.InverseProblem) -> Tensor:
    """Linear interpolation between the known pixels, and the nearest one outside their hull."""
    from scipy.interpolate import griddata

    known = problem.operator(torch.ones_like(problem.y))[0, 0].bool()
    places, values = known.nonzero().numpy(), problem.y[0, 0][known].numpy()
    everywhere = torch.ones_like(known).nonzero().numpy()
    inside, outside = (griddata(places, values, everywhere, method=method) for method in ("linear", "nearest"))
    filled = torch.where(torch.as_tensor(inside).isnan(), torch.as_tensor(outside), torch.as_tensor(inside))
    return filled.float().reshape(problem.y.shape)


def guessing(run: Method) -> Method:
    """As in its training, the network's first guess is middle grey."""
    return lambda problem: run(dataclasses.replace(problem, guess=0.5))


def three_tasks(saved: Rows, every: int = 1, side: int | None = None) -> list[dict[str, Any]]:
    """A row for each task and setting: PSNR of the projections' network after T and 4 T steps, and of its rivals.

    ``every``: of so many pictures one is taken; ``side``: of its middle, None for all of it.
    """
    targets = [middle(picture, side) for picture in pictures(DATA[0], every=every)]
    fewer = targets[::THINNED] if len(targets) > ALL_OF else targets
    rows = [_row("denoising", sigma, noisy(targets, sigma), "noisy", lambda p: p.y, GREY, saved) for sigma in SIGMAS]
    for share in SHARES:
        pairs = [masked(target, share, i) for i, target in enumerate(fewer)]
        rows.append(_row("inpainting", share, pairs, "linear", linear, RESTORE, saved))
    for factor in FACTORS:
        pairs = [shrunk(target, factor, i) for i, target in enumerate(fewer)]

        def bicubic(problem: mo.InverseProblem, factor: int = factor) -> Tensor:
            return interpolated(problem, factor, "bicubic")

        rows.append(_row("super-resolution", factor, pairs, "bicubic", bicubic, RESTORE, saved))
    return rows


def _row(
    task: str, setting: Any, pairs: Pairs, simple: str, run: Method, specialist: str, saved: Rows
) -> dict[str, Any]:
    trained = mo.weights.read_card("random_projections")["trained_steps"]
    few = pairs[::THINNED] if len(pairs) > ALL_OF else pairs
    methods: dict[str, tuple[Method, Pairs]] = {
        "RIM": (guessing(network("random_projections")), pairs),
        "RIM, few": (guessing(network("random_projections")), few),
        "RIM at 4T, few": (guessing(network("random_projections", 4 * trained)), few),
        "simple": (run, pairs),
        "specialist": (network(specialist), pairs),
    }
    reads = [*DATA, weights_of("random_projections"), weights_of(specialist)]
    found = saved.row(
        f"three tasks {task} {setting}",
        lambda: {name: _mean(in_bfloat16(method), of) for name, (method, of) in methods.items()},
        reads,
    )
    print(f"{task} {setting}: {found['RIM']:.2f} dB, {simple} {found['simple']:.2f}", flush=True)
    row = {"task": task, "setting": setting, "pictures": len(pairs), **found, "which": simple, "weights": specialist}
    return {**row, "fewer": len(few)}


def _mean(run: Method, pairs: Sequence[tuple[mo.InverseProblem, Tensor]]) -> float:
    return statistics.mean([mean_quality([(run(problem), target)])["psnr"] for problem, target in pairs])


def main() -> None:
    options = parse_options(__doc__)
    need(options, DATA)
    size = QUICK if options.quick else {}
    options.quick = True  # so that nothing is written
    saved = Rows("random_projections", {}, options)
    rows = three_tasks(saved, **size)
    print(table(rows) + "\n")
    saved.write({f"{row['task']}_{row['setting']}": round(row["RIM"], 2) for row in rows}, rows, [0])


if __name__ == "__main__":
    main()

"""Random projections of 32 x 32 patches: how fast the machine gets there, what each of its parts is worth, other tasks.

Patches of BSD68 are measured by three ensembles at three ratios of measurements to pixels, with noise of 1/255. PSNR is
the mean over the patches of the estimate clipped to [0, 1], after every step up to 4 T, T being what the network was
trained for. All rows solve the same problems, normalized to |A| = 1, from the same first estimate. The classical
weights are chosen on patches of other pictures, for every task, with the best inside a logarithmic grid, where each
algorithm is stopped at its own best. The networks compute in bfloat16.

The ablated networks and a whole one of their size had equal trainings, briefer than that of the shipped network, and
are compared with one another; the shipped one with the classical rows. On a part of the patches FISTA runs for 2,000
steps: its steps to come within 0.1 dB of its best are compared with the network's to the same PSNR. (The others run for
300 there.)

The shipped network, trained on nothing but random projections, then denoises, fills in and enlarges pictures.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.tuning import best_weight
from metaopt.metrics import psnr
from metaopt.models import load
from metaopt.operators import bernoulli_projection, fourier_projection, gaussian_projection
from metaopt.operators.spectral import spectral_norm
from metaopt.tasks import Patches, block_projection
from metaopt.weights import read_card

from .figures import draw_curves
from .imaging import VALIDATION, in_bfloat16
from .report import need, parse_options, table
from .rows import Read, Rows, weights_of
from .three_tasks import DATA as OTHER_DATA
from .three_tasks import QUICK as QUICK_OTHERS
from .three_tasks import three_tasks

FULL = {"ratios": (0.1, 0.25, 0.5), "patches": 1667, "few": 50, "tuning": 40, "fista": 2000, "tried": 300}
QUICK = {"ratios": (0.25,), "patches": 30, "few": 10, "tuning": 10, "fista": 100, "tried": 30}
ENSEMBLES = {"Gaussian": gaussian_projection, "Bernoulli": bernoulli_projection, "Fourier": fourier_projection}
SEEDS = (0, 1, 2)  # each its own projection and patches: 5,001 patches in all
NOISE, SIZE, CHUNK = 1 / 255, 32, 100
WEIGHTS = "random_projections"
DATA = ("natural/bsd68_gray", VALIDATION)
COMPARED = Path(__file__).parent / "weights"
EQUAL = "RIM, brief training"  # what the ablations are compared with
ABLATIONS = {
    EQUAL: "projections_rim",
    "no estimate, brief training": "projections_without_estimate",
    "no memory, brief training": "projections_without_memory",
}
Pairs = Sequence[tuple[mo.InverseProblem, Tensor]]  # a chunk of patches each
Solver = Callable[[float, mo.InverseProblem], mo.Unrolled]  # of a weight, for a problem


def measured(targets: Tensor, ensemble: str, ratio: float, seed: int) -> Pairs:
    """The patches, measured by one projection and in chunks, as problems with |A| = 1."""
    shape = tuple(targets.shape[1:])
    operator = block_projection(ENSEMBLES[ensemble], ratio, shape, SIZE, seed)
    norm = spectral_norm(operator, targets[:1])
    operator, pairs = mo.operators.Scaled(operator, 1 / norm), []
    for i, chunk in enumerate(targets.split(CHUNK)):
        y = operator(chunk)
        parts = torch.randn(*y.shape, 2, generator=mo.core.random.generator(seed, i))
        noise = torch.view_as_complex(parts) if y.is_complex() else parts[..., 0]
        problem = mo.InverseProblem(operator, y + NOISE / norm * noise, NOISE / norm, guess=0.5)
        pairs.append((problem, chunk))
    return pairs


def patches_of(folder: str, count: int, seed: int) -> Tensor:
    pictures = mo.data.read_pictures(folder)
    return Patches(pictures, SIZE, count).draw(mo.core.random.generator(seed))


def gradient_descent(step_size: float, problem: mo.InverseProblem) -> mo.Unrolled:
    """On least squares; stopping it early is what keeps the noise out."""
    return mo.unroll(mo.Descent(mo.updates.Sgd(step_size * problem.noise.square())), 1)


def wavelet_fista(weight: float, problem: mo.InverseProblem) -> mo.Unrolled:
    return mo.unroll(mo.Fista(mo.priors.Wavelet(weight, levels=3, shifts=2), problem.noise.square()), 1)


def learned_map(weight: float, problem: mo.InverseProblem) -> mo.Unrolled:
    """The weight multiplies the prior; |A| = 1 allows steps five times those it was trained with, which it gains by."""
    prior = load("learned_map").algorithm.prior.module
    net = mo.unroll(mo.MapEstimation(_Weighted(prior, weight), step_size=1.0, unit=mo.problems.noise_variance), 1)
    net.forward = in_bfloat16(net.forward)
    return net


class _Weighted(torch.nn.Module):
    def __init__(self, prior: Any, weight: float):
        super().__init__()
        self.prior, self.weight = prior, weight

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        return self.weight * self.prior.gradient(x, k)


CLASSICAL: dict[str, tuple[Solver, float]] = {  # and a weight to start from
    "gradient descent": (gradient_descent, 1.0),
    "FISTA, wavelets": (wavelet_fista, 256.0),
    "MAP, learned prior": (learned_map, 256.0),
}


def score(estimate: Tensor, target: Tensor) -> Tensor:
    """PSNR of every patch; one that is met exactly, such as a black one after clipping, counts as 100 dB."""
    return psnr(estimate.clamp(0, 1), target).clamp(max=100)


@torch.inference_mode()
def curve(solver: Callable[[mo.InverseProblem], mo.Unrolled], pairs: Pairs, steps: int) -> list[float]:
    """Mean PSNR after 0, 1, ... steps."""
    totals = torch.zeros(steps + 1, dtype=torch.float64)
    for problem, target in pairs:
        net = solver(problem)
        state = net.algorithm.init(problem)
        totals[0] += score(problem.start(), target).double().sum()
        for k in range(steps):
            trajectory = net(problem, state=state, start=k, steps=1)
            state = trajectory.state
            totals[k + 1] += score(trajectory.final, target).double().sum()
    return (totals / sum(len(target) for _, target in pairs)).tolist()


def network(path: str | Path) -> Callable[[mo.InverseProblem], mo.Unrolled]:
    net = load(path)
    net.forward = in_bfloat16(net.forward)  # of the trajectory; the model of the measurement stays in single precision
    return lambda problem: net


def over_seeds(solver: Callable[[mo.InverseProblem], mo.Unrolled], sets: Sequence[Pairs], steps: int) -> dict[str, Any]:
    """The mean curve, and the largest distance of a seed's from it."""
    curves = [curve(solver, pairs, steps) for pairs in sets]
    mean = [statistics.mean(at) for at in zip(*curves, strict=True)]
    spread = max(abs(one - m) for c in curves for one, m in zip(c, mean, strict=True))
    return {"psnr_at": mean, "spread": spread}


def classical(solve: Solver, start: float, sets: Sequence[Pairs], held: Pairs, steps: int, tried: int) -> dict:
    weight, _ = best_weight(lambda w: max(curve(functools.partial(solve, w), held, tried)), start, ratio=2.0)
    return {"weight": weight, **over_seeds(functools.partial(solve, weight), sets, steps)}


def steps_to(level: float, curve: Sequence[float]) -> int | None:
    """The first step whose PSNR is at least ``level``."""
    return next((k for k, value in enumerate(curve) if value >= level), None)


def rows_of(ensemble: str, ratio: float, size: Mapping[str, Any], saved: Rows) -> list[dict[str, Any]]:
    trained = read_card(WEIGHTS)["trained_steps"]
    steps = 4 * trained
    targets = {seed: patches_of(DATA[0], size["patches"], seed) for seed in SEEDS}
    sets = [measured(t, ensemble, ratio, seed) for seed, t in targets.items()]
    few = [pair for seed, t in targets.items() for pair in measured(t[: size["few"]], ensemble, ratio, seed)]
    held = measured(patches_of(VALIDATION, size["tuning"], 99), ensemble, ratio, 99)
    where = {"ensemble": ensemble, "ratio": ratio}
    rows: list[dict[str, Any]] = []

    def add(method: str, compute: Callable[[], dict[str, Any]], *weights: Read) -> None:
        row = {**where, "method": method, **saved.row(f"{ensemble} {ratio} {method}", compute, [*DATA, *weights])}
        row |= {"at_5": row["psnr_at"][5], "at_T": row["psnr_at"][trained], "at_4T": row["psnr_at"][steps]}
        print(f"{ensemble} {ratio} {method}: {row['at_T']:.2f} dB after {trained} steps", flush=True)
        rows.append(row)

    def rim() -> dict[str, Any]:
        return {**over_seeds(network(WEIGHTS), sets, steps), **on_few(curve(network(WEIGHTS), few, steps))}

    def best_of(solve: Solver, start: float) -> dict[str, Any]:
        found = classical(solve, start, sets, held, steps, size["tried"])
        long = size["fista"] if solve is wavelet_fista else size["tried"]
        return {**found, **on_few(curve(functools.partial(solve, found["weight"]), few, long))}

    add("RIM", rim, weights_of(WEIGHTS))
    for name, file in ABLATIONS.items():
        path = COMPARED / f"{file}.safetensors"
        add(name, lambda path=path: over_seeds(network(path), sets, steps), path)
    for name, (solve, start) in CLASSICAL.items():
        prior = [weights_of("learned_map")] if solve is learned_map else []
        add(name, functools.partial(best_of, solve, start), *prior)
    fista = next(row for row in rows if row["method"].startswith("FISTA"))
    for row in (rows[0], fista):
        row["steps_to_fista"] = steps_to(fista["best"] - 0.1, row["few_at"])
    return rows


def on_few(curve: list[float]) -> dict[str, Any]:
    return {"few_at": curve, "best": max(curve)}


def gains(rows: Sequence[Mapping[str, Any]], step: int) -> dict[tuple[str, float], float]:
    """By task: the smallest lead at that step, of RIM over the classical rows, of the brief one over its ablations."""
    found = {}
    for task in {(row["ensemble"], row["ratio"]): None for row in rows}:
        at = {row["method"]: row["psnr_at"][step] for row in rows if (row["ensemble"], row["ratio"]) == task}
        leads = [at["RIM"] - at[name] for name in CLASSICAL]
        leads += [at[EQUAL] - at[name] for name in ABLATIONS if name != EQUAL]
        found[task] = min(leads)
    return found


def say_where_not_ahead(rows: Sequence[Mapping[str, Any]], steps: int) -> None:
    behind = {task: [k for k in range(5, steps + 1) if gains(rows, k)[task] <= 0] for task in gains(rows, 5)}
    for (ensemble, ratio), at in behind.items():
        where = f"behind another row at the steps {at}" if at else "ahead of all rows at every step from 5 on"
        print(f"{ensemble} {ratio}: {where}")


def draw(rows: Sequence[Mapping[str, Any]], trained: int) -> Path:
    tasks = {(row["ensemble"], row["ratio"]): None for row in rows}
    panels = {
        f"{ensemble}, {ratio:.0%} measured": {
            row["method"]: row["psnr_at"] for row in rows if (row["ensemble"], row["ratio"]) == (ensemble, ratio)
        }
        for ensemble, ratio in tasks
    }
    return draw_curves("random_projections", panels, {"steps of training": trained})


def main() -> None:
    options = parse_options(__doc__)
    need(options, [*DATA, *OTHER_DATA])
    size: dict[str, Any] = QUICK if options.quick else FULL
    saved = Rows("random_projections", {**size, "noise": NOISE}, options)
    trained = read_card(WEIGHTS)["trained_steps"]
    rows = [r for name in ENSEMBLES for ratio in size["ratios"] for r in rows_of(name, ratio, size, saved)]
    others = three_tasks(saved, **(QUICK_OTHERS if options.quick else {}))
    shown = ["ensemble", "ratio", "method", "weight", "at_5", "at_T", "at_4T", "best", "steps_to_fista", "spread"]
    print("\n" + table(rows, shown) + "\n\n" + table(others) + "\n")
    say_where_not_ahead(rows, 4 * trained)
    ratios = []
    for fista, rim in ((f, r) for f in rows for r in rows if f["method"].startswith("FISTA") and r["method"] == "RIM"):
        if (fista["ensemble"], fista["ratio"]) == (rim["ensemble"], rim["ratio"]) and rim["steps_to_fista"]:
            ratios.append(fista["steps_to_fista"] / rim["steps_to_fista"])
    own = [row for row in rows if row["method"] == "RIM"]
    denoised = {row["setting"]: row["RIM"] for row in others if row["task"] == "denoising"}
    headline = {
        "gain_at_5": round(min(gains(rows, 5).values()), 2),
        "gain_at_T": round(min(gains(rows, trained).values()), 2),
        "loss_4T": round(max(max(row["at_T"] - row["at_4T"], 0) for row in own), 3),
        "fista_steps_ratio": round(min(ratios), 1) if ratios else None,
        **{f"three_task_{sigma}": round(value, 2) for sigma, value in denoised.items()},
    }
    saved.write(headline, [*rows, *others], SEEDS, [] if options.quick else [draw(rows, trained)])


if __name__ == "__main__":
    main()

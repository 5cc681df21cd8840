"""Six solvers that were not written for this library: wrapped in a few lines, equal to the original, then trained.

Each is first the textbook's loop in plain torch (benchmarks/solvers), then an ``Algorithm``. The wrapped one equals the
plain one before training. Then its slots are opened and trained by backpropagation through T steps on random problems,
and it is measured on problems it has not seen: how many steps does the classical solver need for the residual that T
learned steps leave (its ``saving`` is that number over T), and does it take 2 T or more? The same against ``tuned``, a
stronger rival than the textbook's. Residuals are geometric means over the problems.
"""

from __future__ import annotations

import inspect
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

import metaopt as mo

from .report import paired, parse_options, table
from .rows import Rows
from .solvers import CASES, SPAN, WITHOUT_STENCIL, Case, Setting, inside

SEEDS = (0, 1, 2)  # of the training problems; the held-out ones come from SEED + HELD_OUT_SEED
HELD_OUT_SEED = 1000
GOAL = 2.0  # steps of the classical solver for one learned step
FULL = {"updates": 300, "batch": 8, "tuning": 16, "held_out": 32, "timed_runs": 15}
QUICK = {"updates": 30, "batch": 4, "tuning": 4, "held_out": 8, "timed_runs": 3}
SHOWN = ["solver", "lines", "difference", "T", "classical_T", "classical_2T", "learned_T", "saving", "saving_low"]
SHOWN += ["saving_high", "tuned_T", "tuned_2T", "saving_over_tuned", "step_time", "training_seconds"]


def mean_log_residual(case: Case, problem: Any, output: Any) -> Tensor:
    return case.residual(problem, output).log().mean()


def curves(case: Case, settings: Sequence[Setting], problem: Any) -> Tensor:
    """Mean log residual (settings, steps) of the classical solver after every step; infinite where it diverges."""
    steps = SPAN * case.steps
    with torch.no_grad():
        runs = [mo.unroll(case.wrap(steps, **setting), steps)(problem) for setting in settings]
    logs = [torch.stack([mean_log_residual(case, problem, output) for output in run.outputs]) for run in runs]
    return torch.stack(logs).nan_to_num(torch.inf, torch.inf)


def rival(case: Case, settings: Sequence[Setting], tuning: Any, held_out: Any) -> tuple[Tensor, Setting, bool]:
    """The held-out curve, the setting for T steps, and whether those for T and for 2 T steps are inside their grid.

    The curve takes at every number of steps the setting that is best there for ``tuning``.
    """
    best = curves(case, settings, tuning).argmin(0)
    curve = curves(case, settings, held_out)[best, torch.arange(len(best))]
    chosen = [settings[int(best[steps - 1])] for steps in (case.steps, 2 * case.steps)]
    return curve, chosen[0], all(inside(setting, settings) for setting in chosen)


def steps_to(curve: Tensor, level: float) -> float:
    """Steps after which ``curve`` is down at ``level``, by linear interpolation; its length if it never is."""
    reached = (curve <= level).nonzero().flatten().tolist()
    if not reached:
        return float(len(curve))
    k = reached[0]
    return k + float((curve[k - 1] - level) / (curve[k - 1] - curve[k])) if k else 1.0


def train(case: Case, net: mo.core.Unrolled, size: dict[str, int], generator: Generator) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=case.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, size["updates"])
    for _ in range(size["updates"]):
        problem = case.sample(size["batch"], generator)
        loss = mean_log_residual(case, problem, net(problem).final)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def difference(case: Case, net: mo.core.Unrolled, setting: Setting, problem: Any) -> float:
    """The largest difference between the plain solver and the wrapped one with open slots, over the largest entry."""
    with torch.no_grad():
        pairs = zip(
            mo.core.tree.leaves(case.plain(problem, case.steps, **setting)),
            mo.core.tree.leaves(net(problem).final),
            strict=True,
        )
        worst = max(float((plain - wrapped).abs().max() / plain.abs().max()) for plain, wrapped in pairs)
    assert worst <= 1e-12, f"{case.name}: wrapped and plain differ by {worst:.1e}"
    return worst


def measure(case: Case, size: dict[str, int], seed: int) -> dict[str, Any]:
    generator = mo.core.random.generator(seed)
    tuning, held_out = (
        case.sample(size[k], g) for k, g in (("tuning", generator), ("held_out", held_out_generator(seed)))
    )
    classical, setting, classical_inside = rival(case, case.classical, tuning, held_out)
    tuned, _, tuned_inside = rival(case, case.tuned, tuning, held_out)
    net = mo.unroll(mo.parameterize(case.wrap(case.steps, **setting), case.openings), case.steps, keep="last")
    equal = difference(case, net, setting, held_out)
    begin = time.process_time()
    train(case, net, size, generator)
    seconds = time.process_time() - begin
    with torch.no_grad():
        learned = float(mean_log_residual(case, held_out, net(held_out).final))
        rivals = {"plain": lambda: case.plain(held_out, case.steps, **setting), "learned": lambda: net(held_out)}
        timing = paired(rivals, size["timed_runs"], clock=time.process_time)
    return {
        "difference": equal,
        **{f"classical_{n}T": math.exp(classical[n * case.steps - 1]) for n in (1, 2)},
        **{f"tuned_{n}T": math.exp(tuned[n * case.steps - 1]) for n in (1, 2)},
        "learned_1T": math.exp(learned),
        "saving": steps_to(classical, learned) / case.steps,
        "saving_over_tuned": steps_to(tuned, learned) / case.steps,
        "inside": classical_inside and tuned_inside,
        "step_time": timing["learned"]["ratio"],
        "training_seconds": seconds,
        "setting": str(dict(setting)),
        "numbers": sum(p.numel() for p in net.parameters()),
    }


def held_out_generator(seed: int) -> Generator:
    return mo.core.random.generator(seed, HELD_OUT_SEED)


def row(case: Case, size: dict[str, int], seeds: Sequence[int]) -> dict[str, Any]:
    """One solver: medians over the seeds, and the lowest and the highest saving."""
    runs = [measure(case, size, seed) for seed in seeds]

    def middle(key: str) -> float:
        return statistics.median(run[key] for run in runs)

    savings, over_tuned = ([run[key] for run in runs] for key in ("saving", "saving_over_tuned"))
    return {
        "solver": case.name,
        "lines": case.wrap_lines,
        "difference": max(run["difference"] for run in runs),
        "T": case.steps,
        "classical": case.classical_is,
        "tuned": case.tuned_is,
        "classical_T": middle("classical_1T"),
        "classical_2T": middle("classical_2T"),
        "learned_T": middle("learned_1T"),
        "saving": middle("saving"),
        "saving_low": min(savings),
        "saving_high": max(savings),
        "meets_goal": middle("saving") >= GOAL,
        "tuned_T": middle("tuned_1T"),
        "tuned_2T": middle("tuned_2T"),
        "saving_over_tuned": middle("saving_over_tuned"),
        "saving_over_tuned_low": min(over_tuned),
        "saving_over_tuned_high": max(over_tuned),
        "settings_inside_grid": all(run["inside"] for run in runs),
        "setting": runs[0]["setting"],
        "slots": sorted(case.openings),
        "learned_numbers": runs[0]["numbers"],
        "step_time": middle("step_time"),
        "training_seconds": middle("training_seconds"),
    }


def main() -> None:
    options = parse_options(__doc__)
    torch.set_num_threads(1)
    size, seeds = (QUICK, SEEDS[:1]) if options.quick else (FULL, SEEDS)
    settings = {**size, "span": SPAN, "goal": GOAL, "dtype": "float64"}
    saved, rows = Rows("wrap", settings, options), []
    for case in [*CASES, *WITHOUT_STENCIL]:
        source = Path(inspect.getfile(case.plain))
        rows.append(saved.row(case.name, lambda case=case: row(case, size, seeds), [source]))
        print(f"{case.name}: {rows[-1]['saving']:.2f} classical steps for one learned", flush=True)
    print("\n" + table(rows, SHOWN))
    print(
        "\nsaving: classical steps to the learned residual at T, over T; step_time: learned step over the plain one;"
        " training_seconds: of one processor"
    )
    six = rows[: len(CASES)]
    headline = {
        "solvers": len(six),
        "solvers_meeting_goal": sum(r["meets_goal"] for r in six),
        "median_step_saving": round(statistics.median(r["saving"] for r in six), 3),
        "longest_wrap_lines": max(r["lines"] for r in six),
        "solvers_meeting_goal_over_tuned": sum(r["saving_over_tuned"] >= GOAL for r in six),
        "median_step_saving_over_tuned": round(statistics.median(r["saving_over_tuned"] for r in six), 3),
        "largest_difference": max(r["difference"] for r in rows),
    }
    saved.write(headline, rows, seeds)


if __name__ == "__main__":
    main()

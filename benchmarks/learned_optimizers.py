"""Learned optimizers on problems that they have not seen, beside SGD, Nesterov, RMSprop, Adam and AdamW.

The classical ones have their rate tuned, separately for every problem, for the loss after the last step: 15 values on a
logarithmic grid, on instances of their own. The learned ones are tuned to nothing: one was trained on random quadratics
(for the minutes that its card says, on one core), one on a perceptron of 20 sigmoid units on the first 1,000 of
scikit-learn's digits, and that one is also carried over to what it was not trained for. Losses are means over instances
of 5 seeds; those of networks are measured on samples that no minibatch of that run is drawn to be, and the rows' bands
are standard deviations over the seeds.

`ahead from` is the first step from which the learned optimizer is below every classical one
to the end, and None where it never is.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt.data import read_digits, read_mnist
from metaopt.optim import as_torch, load
from metaopt.tasks import NetworkTrainings, Quadratics, conv_net, held_out, mlp
from metaopt.weights import read_card

from .figures import draw_losses
from .report import need, paired, parse_options, table
from .rows import Rows, weights_of

SEEDS = 5
FULL: dict[str, Any] = {"rates": 15, "quadratics": 1000, "trainings": 10, "rounds": 40}
QUICK: dict[str, Any] = {"rates": 4, "quadratics": 100, "trainings": 2, "rounds": 5}
MNIST = "fewshot/mnist_t10k"
QUADRATICS, DIGITS = "optimizer_quadratics", "optimizer_digits"
CLASSICAL: dict[str, tuple[Callable[[float], nn.Module], float]] = {  # and the middle of the grid of rates
    "SGD": (mo.updates.Sgd, 0.3),
    "Nesterov": (mo.updates.Nesterov, 0.1),
    "RMSprop": (mo.updates.RMSprop, 0.02),
    "Adam": (mo.updates.Adam, 0.1),
    "AdamW": (mo.updates.AdamW, 0.1),
}
DECADES = 4.0  # that the grid spans


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something to minimise, for so many steps, and the trained optimizer that is shown on it."""

    task: Any
    steps: int
    learned: str
    seen: bool = False  # whether it is what that optimizer was trained on

    def losses(self, update: nn.Module, number: int) -> Tensor:
        """After every step, of held-out instances ``number``: a mean over them, (steps,)."""
        problem, _ = held_out(self.task, number)
        count = len(problem.held) if hasattr(problem, "held") else len(problem.start())
        with torch.no_grad():
            outputs = mo.unroll(mo.Descent(update), self.steps)(problem).outputs
            return torch.stack([problem.energy(x) / count for x in outputs])


def problems(size: Mapping[str, Any], mnist: bool) -> dict[str, Problem]:
    data = read_digits(first=1000)

    def digits(network: nn.Module, steps: int = 100, seen: bool = False, data: Any = data) -> Problem:
        return Problem(NetworkTrainings(network, data, size["trainings"], steps=steps), steps, DIGITS, seen)

    found = {
        "quadratics": Problem(Quadratics(batch=size["quadratics"]), 100, QUADRATICS, True),
        "digits": digits(mlp([64, 20, 10]), seen=True),
        "40 units": digits(mlp([64, 40, 10])),
        "two layers": digits(mlp([64, 20, 20, 10])),
        "ReLU": digits(mlp([64, 20, 10], nn.ReLU)),
        "500 steps": digits(mlp([64, 20, 10]), 500),
        "conv net": digits(conv_net()),
    }
    if mnist:
        found["MNIST"] = digits(mlp([784, 20, 10]), data=read_mnist(MNIST))
    return found


def rows_of(name: str, problem: Problem, size: Mapping[str, Any], saved: Rows) -> list[dict[str, Any]]:
    def measured(update: nn.Module) -> dict[str, Any]:
        curves = torch.stack([problem.losses(update, seed) for seed in range(SEEDS)])
        return {"curve": curves.mean(0).tolist(), "band": curves.std(0).tolist()}

    def classical(build: Callable[[float], nn.Module], middle: float) -> dict[str, Any]:
        rates = [middle * 10 ** (DECADES * (i / (size["rates"] - 1) - 0.5)) for i in range(size["rates"])]
        ends = [float(problem.losses(build(rate), SEEDS)[-1]) for rate in rates]
        best = min(range(len(rates)), key=lambda i: ends[i] if math.isfinite(ends[i]) else math.inf)
        return {"rate": rates[best], "inside": 0 < best < len(rates) - 1, **measured(build(rates[best]))}

    rows = []
    for method, compute in {
        "learned": lambda: measured(load(problem.learned)),
        **{method: lambda of=of: classical(*of) for method, of in CLASSICAL.items()},
    }.items():
        reads = [*([MNIST] if name == "MNIST" else []), *([weights_of(problem.learned)] if method == "learned" else [])]
        row = {"problem": name, "optimizer": method, **saved.row(f"{name} {method}", compute, reads)}
        row |= {f"at {k}": row["curve"][k - 1] for k in (20, 50)} | {"last": row["curve"][-1], "+-": row["band"][-1]}
        rows.append(row)
    print(f"{name}: learned {rows[0]['last']:.4g}, best other {min(r['last'] for r in rows[1:]):.4g}", flush=True)
    rows[0]["ahead from"] = ahead_from(rows[0]["curve"], [row["curve"] for row in rows[1:]])
    return rows


def ahead_from(curve: list[float], others: list[list[float]]) -> int | None:
    """The first step (from 1) from which the curve stays below all others."""
    behind = [k for k, values in enumerate(zip(curve, *others, strict=True), 1) if not values[0] < min(values[1:])]
    first = max(behind, default=0) + 1
    return first if first <= len(curve) else None


def step_costs(rounds: int) -> list[dict[str, Any]]:
    """Of one step of all 100,180 parameters of a perceptron, gradients given."""

    def stepping(build: Callable[[Any], torch.optim.Optimizer]) -> Callable[[], Any]:
        net = nn.Sequential(nn.Linear(784, 126), nn.ReLU(), nn.Linear(126, 10))
        for parameter in net.parameters():
            parameter.grad = torch.randn_like(parameter)
        return build(net.parameters()).step

    runs = {
        "torch.optim.Adam": stepping(lambda p: torch.optim.Adam(p, 1e-3)),
        "torch.optim.Adam, foreach": stepping(lambda p: torch.optim.Adam(p, 1e-3, foreach=True)),
        "Adam by as_torch": stepping(lambda p: as_torch(mo.updates.Adam(1e-3), p)),
        DIGITS: stepping(lambda p: as_torch(load(DIGITS), p)),
        QUADRATICS: stepping(lambda p: as_torch(load(QUADRATICS), p)),
    }
    timings = paired(runs, rounds)
    return [{"optimizer": name, "ms": 1e3 * timing.pop("seconds"), **timing} for name, timing in timings.items()]


def main() -> None:
    options = parse_options(__doc__)
    size = QUICK if options.quick else FULL
    need(options, [] if options.quick else [MNIST])
    saved = Rows("learned_optimizers", size, options)
    begin = time.perf_counter()
    found = problems(size, not options.quick)
    if options.quick:
        found = {name: found[name] for name in ("quadratics", "digits")}
    rows = [row for name, problem in found.items() for row in rows_of(name, problem, size, saved)]
    costs = saved.rows("costs", lambda: step_costs(size["rounds"]), [weights_of(DIGITS), weights_of(QUADRATICS)])
    shown = ["problem", "optimizer", "rate", "inside", "at 20", "at 50", "last", "+-", "ahead from"]
    print("\n" + table(rows, shown) + "\n\n" + table(costs) + "\n")
    minutes = ", ".join(f"{name} {read_card(name)['minutes']}" for name in (QUADRATICS, DIGITS))
    print(f"minutes of training: {minutes}; of this run: {(time.perf_counter() - begin) / 60:.1f}")
    of = {(row["problem"], row["optimizer"]): row for row in rows}
    best = min(of["quadratics", name]["last"] for name in CLASSICAL)
    headline = {
        "quadratic_ratio": round(of["quadratics", "learned"]["last"] / best, 3),
        "digits_ahead_from_step": of["digits", "learned"]["ahead from"],
        "step_cost_vs_adam": round(next(row["ratio"] for row in costs if row["optimizer"] == DIGITS), 2),
    }
    curves = {n: {m: (of[n, m]["curve"], of[n, m]["band"]) for m in ("learned", *CLASSICAL)} for n in found}
    drawn = [] if options.quick else [draw_losses("learned_optimizers", curves)]
    saved.write(headline, [*rows, *costs], range(SEEDS), drawn)


if __name__ == "__main__":
    main()

"""Gradients of a run's loss by backpropagation and by evolution strategies: bias, spread and cost.

Three problems whose gradients are known in closed form, or exactly by backpropagation in float64:

- influence balancing: s <- A s + theta (1, ..., 1, -1, ..., -1) with A_ii = A_i,i+1 = 1/2, 23 entries of which 10 are
  pushed up, s_0 = 1, theta = 1/2; the loss is the mean over 200 steps of (first entry - 1)^2 / 2. What a step does is
  mostly felt many steps later and with the other sign, so that a gradient that is cut off has the wrong sign (Vicol,
  Metz and Sohl-Dickstein, arXiv:2112.13835).
- ridge: the derivative of a validation error by the penalty, through gradient descent on the training error, against
  -(Xv w - yv)^T Xv (X^T X + penalty I)^-1 w at the minimiser w.
- quadratic: the derivative of the energy sum h_i x_i^2 / 2 after T steps of gradient descent by the step size a,
  -T sum h_i^2 (1 - a h_i)^(2 T - 1) x_i^2.

``error`` is the mean estimate minus the exact value; ``se`` the standard error of one estimate, over seeds (nothing
random: 0).
"""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.core.gradients import GradientStrategy
from metaopt.estimators import es, pes

from .memory import peak_of
from .report import parse_options, table
from .rows import Rows

FULL = {"pairs": 1000, "seeds": 30}
QUICK = {"pairs": 200, "seeds": 6}
SIGMA = 0.1  # of the perturbations, for influence balancing; RELATIVE times the parameter elsewhere
RELATIVE = 0.05
DOUBLE = torch.float64
Estimator = Callable[[int], float]  # of a seed


class Case:
    """An algorithm with one learned number, its problem, a loss that adds up over steps, and the exact gradient."""

    def __init__(self, algorithm: Any, problem: Any, steps: int, loss: Callable[[Any, int], Tensor], sigma: float):
        self.algorithm, self.problem, self.steps, self.loss, self.sigma = algorithm, problem, steps, loss, sigma
        (self.parameter,) = algorithm.parameters()

    def summed(self, trajectory: mo.Trajectory) -> Tensor:
        first = trajectory.stop - len(trajectory.outputs)
        return torch.stack([self.loss(x, first + i + 1) for i, x in enumerate(trajectory.outputs)]).sum()

    def of_run(self, net: Any, trajectory: mo.Trajectory, problem: Any, target: None) -> Tensor:
        return self.summed(trajectory)

    def backpropagated(self, strategy: GradientStrategy) -> float:
        net = mo.unroll(self.algorithm, self.steps, strategy)
        return float(torch.autograd.grad(self.summed(net(self.problem)), self.parameter)[0])

    def implicit(self) -> float:
        """For a loss of the last step alone."""
        net = mo.unroll(self.algorithm, 20 * self.steps, mo.Implicit(), keep="last")
        return float(torch.autograd.grad(self.loss(net(self.problem).final, self.steps), self.parameter)[0])

    def in_pieces(self, length: int) -> float:
        """Truncated backpropagation through time: each piece is differentiated by itself."""
        net, state, total = mo.unroll(self.algorithm, length), None, 0.0
        for start in range(0, self.steps, length):
            trajectory = net(self.problem, state=state, start=start)
            total += float(torch.autograd.grad(self.summed(trajectory), self.parameter)[0])
            state = mo.core.tree.detach(trajectory.state)
        return total

    def evolved(self, length: int, pairs: int, seed: int, persistent: bool) -> float:
        net, state, particles, total = mo.unroll(self.algorithm, length), None, None, 0.0
        for start in range(0, self.steps, length):
            options: dict[str, Any] = {"pairs": pairs, "sigma": self.sigma, "seed": mo.core.random.derive(seed, start)}
            if persistent:
                estimate = pes(net, self.problem, self.of_run, particles=particles, **options)
                particles = estimate.particles
            else:
                estimate = es(net, self.problem, self.of_run, state=state, start=start, **options)
                with torch.no_grad():
                    state = net(self.problem, state=state, start=start).state
            total += float(sum(estimate.gradients.values()))
        return total


def influence_balancing(steps: int = 200) -> Case:
    matrix = 0.5 * (torch.eye(23, dtype=DOUBLE) + torch.diag(torch.ones(22, dtype=DOUBLE), 1))
    signs = torch.cat([torch.ones(10, dtype=DOUBLE), -torch.ones(13, dtype=DOUBLE)])
    algorithm = mo.Algorithm.from_step(
        lambda _, s, k, theta: matrix @ s + theta * signs, lambda start: start, slots={"theta": mo.shared(0.5)}
    )
    return Case(algorithm, torch.ones(23, dtype=DOUBLE), steps, lambda s, k: (s[0] - 1) ** 2 / (2 * steps), SIGMA)


def ridge(steps: int = 300, penalty: float = 3.0) -> tuple[Case, float]:
    generator = mo.core.random.generator(0)
    (x, xv), w = (torch.randn(n, 8, generator=generator, dtype=DOUBLE) for n in (20, 30)), torch.ones(8, dtype=DOUBLE)
    y, yv = (a @ w + torch.randn(len(a), generator=generator, dtype=DOUBLE) for a in (x, xv))
    rate = 1 / (float(torch.linalg.matrix_norm(x, 2)) ** 2 + penalty)
    algorithm = mo.Algorithm.from_step(
        lambda _, v, k, penalty: v - rate * (x.T @ (x @ v - y) + penalty * v),
        lambda start: start,
        slots={"penalty": mo.shared(penalty)},
    )

    def loss(v: Tensor, k: int) -> Tensor:
        return (xv @ v - yv).square().sum() / 2 * (k == steps)

    regular = x.T @ x + penalty * torch.eye(8, dtype=DOUBLE)
    best = torch.linalg.solve(regular, x.T @ y)
    exact = -(xv @ best - yv) @ xv @ torch.linalg.solve(regular, best)
    return Case(algorithm, torch.zeros(8, dtype=DOUBLE), steps, loss, RELATIVE * penalty), float(exact)


def quadratic(steps: int = 50, rate: float = 0.02) -> tuple[Case, float]:
    curvature = torch.logspace(0, 1.5, 10, dtype=DOUBLE)
    algorithm = mo.Algorithm.from_step(
        lambda _, x, k, rate: x - rate * curvature * x, lambda start: start, slots={"rate": mo.shared(rate)}
    )
    start = torch.ones(10, dtype=DOUBLE)

    def loss(x: Tensor, k: int) -> Tensor:
        return (curvature * x.square()).sum() / 2 * (k == steps)

    exact = -steps * (curvature.square() * (1 - rate * curvature) ** (2 * steps - 1) * start.square()).sum()
    return Case(algorithm, start, steps, loss, RELATIVE * rate), float(exact)


def estimators(case: Case, pairs: int, balancing: bool) -> dict[str, Estimator]:
    """By name. Only what settles has an implicit gradient, and what influence balancing shows is about pieces."""
    checkpointed = mo.Checkpointed()
    found: dict[str, Estimator] = {
        "full": lambda seed: case.backpropagated(mo.Backprop()),
        "checkpointed": lambda seed: case.backpropagated(checkpointed),
        "truncated, pieces of 10": lambda seed: case.in_pieces(10),
        "ES, whole run": lambda seed: case.evolved(case.steps, pairs, seed, persistent=False),
        "ES, pieces of 10": lambda seed: case.evolved(10, pairs, seed, persistent=False),
        "PES, pieces of 10": lambda seed: case.evolved(10, pairs, seed, persistent=True),
        "PES, pieces of 1": lambda seed: case.evolved(1, pairs, seed, persistent=True),
    }
    if not balancing:
        found["truncated, last 10"] = lambda seed: case.backpropagated(mo.Truncated(10))
    return found


def row(problem: str, name: str, exact: float, estimate: Estimator, seeds: int) -> dict[str, Any]:
    _, peak = peak_of(lambda: estimate(0))
    begin = time.perf_counter()
    values = [estimate(seed) for seed in range(seeds if "ES" in name else 1)]
    seconds = (time.perf_counter() - begin) / len(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    mean = statistics.mean(values)
    found = {"problem": problem, "estimator": name, "mean": mean, "exact": exact, "error": mean - exact, "se": spread}
    return {**found, "seconds": seconds, "MiB": 1024 * peak, "first": values[0]}


def main() -> None:
    options = parse_options(__doc__)
    size = QUICK if options.quick else FULL
    balancing = influence_balancing()
    cases = {"influence balancing": (balancing, balancing.backpropagated(mo.Backprop()))}
    cases |= {"ridge": ridge(), "quadratic": quadratic()}
    settings = {**size, "sigma": SIGMA, "relative": RELATIVE}
    saved, rows = Rows("gradient_estimators", settings, options), []
    for problem, (case, exact) in cases.items():
        found = estimators(case, size["pairs"], case is balancing)
        if problem == "ridge":
            found["implicit"] = lambda seed, case=case: case.implicit()
        for name, estimate in found.items():
            measured = functools.partial(row, problem, name, exact, estimate, size["seeds"])
            rows.append(saved.row(f"{problem}: {name}", measured))
    shown = ["problem", "estimator", "mean", "exact", "error", "se", "seconds", "MiB"]
    print(table(rows, shown) + "\n")
    of = {r["estimator"]: r for r in rows if r["problem"] == "influence balancing"}
    headline = {
        "full": round(of["full"]["mean"], 3),
        "truncated_10": round(of["truncated, pieces of 10"]["mean"], 2),
        "pes_1": round(of["PES, pieces of 1"]["first"], 2),
        "pes_1_se": round(of["PES, pieces of 1"]["se"], 2),
    }
    assert all(math.isfinite(value) for value in headline.values())
    saved.write(headline, rows, range(size["seeds"]))


if __name__ == "__main__":
    main()

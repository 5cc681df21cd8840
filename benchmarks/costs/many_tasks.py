"""Many small tasks at once by ``vmap``, against a Python loop over the same tasks.

Sinusoid regression as in MAML: every task adapts the shared initial network by a few steps of gradient descent on its
own few points, and the mean loss on its other points is differentiated with respect to the shared initial network and
step size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo

from ..report import paired


@dataclass(frozen=True)
class Learner:
    """An initial network and how it adapts to a task: the points it is shown, and those it is judged on."""

    network: nn.Module
    adapt: mo.Unrolled

    def loss(self, shown: mo.Objective, hidden: mo.Objective) -> Tensor:
        return hidden.energy(self.adapt(shown).final)

    def meta_gradient(self, loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, [*self.network.parameters(), *self.adapt.parameters()]))

    def objective(self, points: Tensor) -> mo.Objective:
        """``points``: x and its sine, (2, ..., 1)."""
        return mo.Objective(self.network, F.mse_loss, [(points[0], points[1])])


def make_learner(width: int, steps: int, dtype: torch.dtype = torch.float32) -> Learner:
    with mo.foundation.drawing.drawing_from(0):
        network = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    return Learner(network.to(dtype), mo.unroll(mo.Descent(mo.updates.Sgd(mo.shared(0.01))), steps, keep="last"))


def make_points(tasks: int, shots: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """(shown, hidden), each (2, tasks, shots, 1): x in [-5, 5], and a sine of the task's amplitude and phase there."""
    generator = mo.core.random.generator(0)
    amplitude = 0.1 + 4.9 * torch.rand(tasks, 1, 1, generator=generator)
    phase = math.pi * torch.rand(tasks, 1, 1, generator=generator)
    x = 10 * torch.rand(tasks, 2 * shots, 1, generator=generator) - 5
    shown, hidden = torch.stack([x, amplitude * torch.sin(x + phase)]).to(dtype).split(shots, dim=2)
    return shown, hidden


def mapped(learner: Learner, shown: Tensor, hidden: Tensor) -> Callable[[], list[Tensor]]:
    """The tasks' problems stacked in one."""
    tasks = learner.objective(shown), learner.objective(hidden)
    return lambda: learner.meta_gradient(mo.vmap(learner.loss)(*tasks).mean())


def looped(learner: Learner, shown: Tensor, hidden: Tensor) -> Callable[[], list[Tensor]]:
    tasks = [[learner.objective(each) for each in points.unbind(1)] for points in (shown, hidden)]
    return lambda: learner.meta_gradient(_mean([learner.loss(*task) for task in zip(*tasks, strict=True)]))


def _mean(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()


def measure(tasks: int, shots: int, width: int, steps: int, rounds: int) -> list[dict[str, Any]]:
    """A row for vmap and one for the loop; ``ratio`` is how many times longer that takes."""
    learner, points = make_learner(width, steps), make_points(tasks, shots)
    timings = paired({"vmap": mapped(learner, *points), "loop": looped(learner, *points)}, rounds)
    return [{"run": name, "ms": 1e3 * timing.pop("seconds"), **timing} for name, timing in timings.items()]

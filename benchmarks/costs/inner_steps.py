"""Seconds per inner step of a differentiable Adam on an MLP: this library, two others, and loops written by hand.

Every rival takes the same network, batch and settings, runs the same number of steps, and differentiates the last loss
with respect to the initial parameters and to one step size. All are timed as they are meant to be used. The inputs hold
dead pixels, as handwritten digits do: their weights get gradients that are exactly zero, where the square root in Adam
has an infinite derivative, so that without a guard the meta-gradient is NaN. Every rival here has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo
from metaopt.core.gradients import GradientStrategy

from ..report import paired

STEP_SIZE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
BACKPROP = mo.Backprop()
BLANK = 0.2  # share of the inputs that are zero in the whole batch


@dataclass(frozen=True)
class Task:
    """A network to fit by ``steps`` steps of Adam. ``step_size`` requires grad, and so do the network's parameters."""

    network: nn.Module
    inputs: Tensor
    labels: Tensor
    step_size: Tensor
    steps: int

    def learned(self) -> list[Tensor]:
        return [*self.network.parameters(), self.step_size]


Rival = Callable[[Task], list[Tensor]]


def make_task(widths: Sequence[int], batch: int, steps: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Task:
    """An MLP with one hidden layer of sigmoid units, as in Andrychowicz et al., on random inputs and labels."""
    generator = mo.core.random.generator(seed)
    inputs = torch.randn(batch, widths[0], generator=generator) * (torch.rand(widths[0], generator=generator) > BLANK)
    labels = torch.randint(widths[2], (batch,), generator=generator)
    with mo.foundation.drawing.drawing_from(seed, 1):
        network = nn.Sequential(nn.Linear(*widths[:2]), nn.Sigmoid(), nn.Linear(*widths[1:])).to(dtype)
    return Task(network, inputs.to(dtype), labels, torch.tensor(STEP_SIZE, dtype=dtype, requires_grad=True), steps)


def metaopt(task: Task, gradient: GradientStrategy = BACKPROP) -> list[Tensor]:
    descent = mo.Descent(mo.updates.Adam(mo.shared(STEP_SIZE), BETA1, BETA2, EPSILON))
    net = mo.unroll(descent, task.steps, gradient, keep="last")
    problem = mo.Objective(task.network, F.cross_entropy, [(task.inputs, task.labels)])
    loss = problem.energy(net(problem).final)
    return list(torch.autograd.grad(loss, [*task.network.parameters(), *net.parameters()]))


def by_hand(task: Task) -> list[Tensor]:
    """Plain torch, Adam as its paper writes it, with the guard that is usual in meta-learning."""
    return _loop(task, _adam)


def by_hand_tuned(task: Task) -> list[Tensor]:
    """Plain torch, rewritten for speed: means by lerp, and the corrections of both moved to scalars."""
    return _loop(task, _tuned_adam)


def _loop(task: Task, adam: Callable[..., tuple[Tensor, Tensor, Tensor]]) -> list[Tensor]:
    parameters: list[Tensor] = list(task.network.parameters())
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for k in range(task.steps):
        gradients = torch.autograd.grad(_loss(task, parameters), parameters, create_graph=True)
        updated = [
            adam(*each, task.step_size, k + 1) for each in zip(parameters, means, squares, gradients, strict=True)
        ]
        parameters, means, squares = (list(each) for each in zip(*updated, strict=True))
    return list(torch.autograd.grad(_loss(task, parameters), task.learned()))


def _loss(task: Task, parameters: Sequence[Tensor]) -> Tensor:
    w1, b1, w2, b2 = parameters
    return F.cross_entropy(F.linear(torch.sigmoid(F.linear(task.inputs, w1, b1)), w2, b2), task.labels)


def _adam(p: Tensor, m: Tensor, v: Tensor, g: Tensor, step_size: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
    corrected_m, corrected_v = m / (1 - BETA1**t), v / (1 - BETA2**t)
    return p - step_size * corrected_m / (torch.sqrt(corrected_v + floor(v)) + EPSILON), m, v


def _tuned_adam(p: Tensor, m: Tensor, v: Tensor, g: Tensor, step_size: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    m, v = torch.lerp(m, g, 1 - BETA1), torch.lerp(v, g * g, 1 - BETA2)
    c = (1 - BETA2**t) ** 0.5
    return p - step_size * (c / (1 - BETA1**t)) * m / (torch.sqrt(v + floor(v)) + EPSILON * c), m, v


def floor(tensor: Tensor) -> float:
    """What a square is lifted by before its root is taken: too little to be seen, but the derivative is finite."""
    return torch.finfo(tensor.dtype).tiny


def higher(task: Task) -> list[Tensor]:
    import higher as library

    optimizer = torch.optim.Adam(task.network.parameters(), STEP_SIZE, (BETA1, BETA2), EPSILON)
    with library.innerloop_ctx(
        task.network, optimizer, copy_initial_weights=False, override={"lr": [task.step_size]}
    ) as (network, differentiable):
        for _ in range(task.steps):
            differentiable.step(F.cross_entropy(network(task.inputs), task.labels))
        return list(torch.autograd.grad(F.cross_entropy(network(task.inputs), task.labels), task.learned()))


def torchopt(task: Task) -> list[Tensor]:
    """Its functional Adam, which is at least as fast as ``MetaAdam`` and leaves the network as it is."""
    import torchopt as library

    step_size: Any = task.step_size  # declared a number, but a tensor gets its gradient
    adam = library.adam(step_size, (BETA1, BETA2), EPSILON, eps_root=floor(task.inputs))
    optimizer, names = library.FuncOptimizer(adam), [name for name, _ in task.network.named_parameters()]
    parameters: Any = tuple(task.network.parameters())

    def loss() -> Tensor:
        named = dict(zip(names, parameters, strict=True))
        return F.cross_entropy(torch.func.functional_call(task.network, named, (task.inputs,)), task.labels)

    for _ in range(task.steps):
        parameters = optimizer.step(loss(), parameters)
    return list(torch.autograd.grad(loss(), task.learned()))


RIVALS: Mapping[str, Rival] = {
    "hand": by_hand,
    "metaopt": metaopt,
    "higher": higher,
    "torchopt": torchopt,
    "hand, tuned": by_hand_tuned,
}


def errors(task: Task) -> dict[str, float]:
    """How far each rival's meta-gradient is from the loop's by hand, relative to its norm, in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # torchopt makes its corrections in the default dtype
    try:
        found = {name: torch.cat([g.flatten() for g in rival(task)]) for name, rival in RIVALS.items()}
    finally:
        torch.set_default_dtype(before)
    return {name: float((g - found["hand"]).norm() / found["hand"].norm()) for name, g in found.items()}


def measure(widths: Sequence[int], batch: int, steps: int, rounds: int) -> list[dict[str, Any]]:
    """One row a rival; ``ratio`` is its time over that of :func:`by_hand`."""
    wrong = errors(make_task(widths, batch, steps, torch.float64))
    task = make_task(widths, batch, steps)
    timings = paired({name: lambda rival=rival: rival(task) for name, rival in RIVALS.items()}, rounds)
    return [
        {"rival": name, "ms": 1e3 * timing.pop("seconds") / steps, **timing, "meta_gradient_error": wrong[name]}
        for name, timing in timings.items()
    ]

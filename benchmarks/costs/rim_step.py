"""One step of a Recurrent Inference Machine against its bare convolutions: what all the rest of the step costs.

The cell is the slides' (convolution 5x5 -> GRU 3x3, dilation 2 -> convolution 3x3), the problem denoising. The bare
convolutions are the step's four, called one after another on inputs that lie ready: no border, no ReLU, no gates, no
gradient. Both run as written (eager) and compiled by inductor. Compiling may serve the bare convolutions too, so the
compiled step stands over whichever of the two is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import metaopt as mo

from ..report import paired

NOISE = 0.1
MODES = ("forward", "forward and backward")


def make_step(batch: int, size: int, features: int) -> tuple[mo.Descent, mo.InverseProblem, Any]:
    """A machine, a problem, and the machine's state in the middle of a run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        machine = mo.Descent(mo.updates.ConvGru(channels=1, hidden=features))
        y = torch.randn(batch, 1, size, size)
    problem = mo.InverseProblem(mo.operators.Identity(), y, noise=torch.full((batch,), NOISE))
    with torch.no_grad():
        state = machine.step(problem, machine.init(problem), 0)
    return machine, problem, mo.tree.map(lambda t: t.requires_grad_(), state)


class Convolutions(nn.Module):
    """The convolutions of one step, each on an input of the shape that it has there."""

    def __init__(self, machine: mo.Descent, y: Tensor):
        super().__init__()
        self.cell = machine.update(0)
        batch, _, *size = y.shape
        padded = (batch, self.cell.embed.in_channels, *(n + 4 for n in size))  # the border of the 5x5 convolution
        self.shapes = padded, (batch, self.cell.hidden, *size)

    def inputs(self) -> tuple[Tensor, Tensor]:
        padded, features = (torch.randn(shape, requires_grad=True) for shape in self.shapes)
        return padded, features

    def forward(self, padded: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        memory = self.cell.memories[0]
        return self.cell.embed(padded), memory.input(features), memory.state(features), self.cell.head(features)


def forward(run: Callable[[], Any], inputs: Sequence[Tensor]) -> Callable[[], Any]:
    return torch.no_grad()(run)


def backward(run: Callable[[], Any], inputs: Sequence[Tensor]) -> Callable[[], Any]:
    """Forward, and the gradients of all ``inputs`` from cotangents that lie ready."""
    cotangents = [torch.ones_like(output) for output in mo.tree.leaves(run())]
    return lambda: torch.autograd.grad(mo.tree.leaves(run()), inputs, cotangents)


def measure(batch: int, size: int, features: int, rounds: int, mode: str) -> list[dict[str, Any]]:
    """Rows ``convolutions``, ``step`` and both compiled. ``ratio``: a step over the convolutions it is held against."""
    machine, problem, state = make_step(batch, size, features)
    convolutions = Convolutions(machine, problem.y)
    given = convolutions.inputs()
    torch.compiler.reset()
    steps = {"step": machine.step, "compiled step": torch.compile(machine.step)}
    bare = {"convolutions": convolutions, "compiled convolutions": torch.compile(convolutions)}
    prepare, weights = forward if mode == "forward" else backward, list(machine.parameters())
    runs = {
        **{n: prepare(lambda call=call: call(*given), [*weights, *given]) for n, call in bare.items()},
        **{n: prepare(lambda call=call: call(problem, state, 1), [*weights, *mo.tree.leaves(state)]) for n, call in steps.items()},
    }
    timings = paired(runs, rounds)
    rows = [{"mode": mode, "run": name, "ms": 1e3 * timing.pop("seconds"), **timing} for name, timing in timings.items()]
    faster = min(timings["compiled convolutions"]["ratio"], 1.0)
    return [{**row, **{key: row[key] / faster for key in ("ratio", "ratio_low", "ratio_high")}} if row["run"] == "compiled step" else row for row in rows]

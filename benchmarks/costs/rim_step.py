"""One step of a Recurrent Inference Machine against its bare convolutions: what all the rest of the step costs.

The cell is the slides' (convolution 5x5 -> GRU 3x3, dilation 2 -> convolution 3x3), the problem denoising. The bare
convolutions are the step's own, called one after another on inputs that lie ready: no border, no ReLU, no gates, no
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
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def make_step(batch: int, size: int, features: int) -> tuple[mo.Descent, mo.InverseProblem, Any]:
    """A network, a problem, and the network's state in the middle of a run."""
    with mo.foundation.drawing.drawing_from(0):
        network = mo.Descent(mo.updates.ConvGru(channels=1, hidden=features))
        y = torch.randn(batch, 1, size, size)
    problem = mo.InverseProblem(mo.operators.Identity(), y, noise=torch.full((batch,), NOISE))
    with torch.no_grad():
        state = network.step(problem, network.init(problem), 0)
    return network, problem, mo.tree.map(lambda t: t.requires_grad_(), state)


class Convolutions(nn.Module):
    """The convolutions of a step, and nothing else, each on what it sees there."""

    def __init__(self, network: mo.Descent, problem: mo.InverseProblem, state: Any):
        super().__init__()
        layers = [module for module in network.modules() if isinstance(module, CONVOLUTIONS)]
        seen: dict[nn.Module, Tensor] = {}
        hooks = [
            layer.register_forward_hook(lambda layer, given, _: seen.update({layer: given[0]})) for layer in layers
        ]
        with torch.no_grad():
            network.step(problem, state, 1)
        for hook in hooks:
            hook.remove()
        self.layers = nn.ModuleList(seen)
        self.inputs = [given.clone().requires_grad_() for given in seen.values()]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(layer(given) for layer, given in zip(self.layers, inputs, strict=True))


def forward(run: Callable[[], Any], inputs: Sequence[Tensor]) -> Callable[[], Any]:
    return torch.no_grad()(run)


def forward_and_backward(run: Callable[[], Any], inputs: Sequence[Tensor]) -> Callable[[], Any]:
    """The gradients of all ``inputs``, from cotangents that lie ready."""
    cotangents = [torch.ones_like(output) for output in mo.tree.leaves(run())]
    return lambda: torch.autograd.grad(mo.tree.leaves(run()), inputs, cotangents)


MODES = {"forward": forward, "forward and backward": forward_and_backward}


def measure(batch: int, size: int, features: int, rounds: int, mode: str) -> list[dict[str, Any]]:
    """Bare convolutions and the step, eager and compiled. ``ratio``: of times, over what stands in ``over``."""
    network, problem, state = make_step(batch, size, features)
    weights, convolutions = list(network.parameters()), Convolutions(network, problem, state)
    given, states = convolutions.inputs, mo.tree.leaves(state)
    torch.compiler.reset()
    compiled_convolutions, compiled_step = torch.compile(convolutions), torch.compile(network.step)
    prepare = MODES[mode]
    timings = paired(
        {
            "convolutions": prepare(lambda: convolutions(*given), [*weights, *given]),
            "compiled convolutions": prepare(lambda: compiled_convolutions(*given), [*weights, *given]),
            "step": prepare(lambda: network.step(problem, state, 1), [*weights, *states]),
            "compiled step": prepare(lambda: compiled_step(problem, state, 1), [*weights, *states]),
        },
        rounds,
    )
    rows = {name: {"over": "convolutions", **timing} for name, timing in timings.items()}
    if rows["compiled convolutions"]["ratio"] < 1:
        faster = rows["compiled convolutions"]["ratio"]
        ratios = {key: rows["compiled step"][key] / faster for key in ("ratio", "ratio_low", "ratio_high")}
        rows["compiled step"] |= {"over": "compiled convolutions", **ratios}
    return [{"mode": mode, "run": name, "ms": 1e3 * row.pop("seconds"), **row} for name, row in rows.items()]

"""Peak memory and time of the gradient strategies, every figure from fresh processes. Needs Linux.

A process takes a gradient through one step to warm up, hands back what malloc kept, notes its resident memory as the
level, resets the kernel's high-water mark of it, and takes a gradient through T steps: the peak is the mark less the
level. malloc is told to map every larger tensor on its own, so that resident memory is what the tensors hold.

The networks are the RIM and its invertible form at a quarter of the resolution, with few features on a picture so large
that the state handed from step to step fills more than 16 MiB. Such a step keeps few tensors beside its state, which is
the hard case for checkpoints: those tensors are what they save, states are what they cost.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import metaopt as mo

from ..memory import GIB, peak_of
from ..provenance import ROOT

MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
ROOM = 1.2  # a run starts only where this many times the memory that it is expected to take is free
STRIDE = 4
CALM = 0.1  # times the invertible network's random weights, or its state would grow without bound


def full(steps: int) -> mo.Unrolled:
    return mo.unroll(_rim(), steps, keep="last")


def checkpointed(steps: int) -> mo.Unrolled:
    return mo.unroll(_rim(), steps, mo.Checkpointed(), keep="last")


def reversible(steps: int) -> mo.Unrolled:
    """Of the invertible network: the RIM's gates cannot be undone."""
    read = mo.networks.GradientReader(1, 2, STRIDE, context=0)
    network = mo.CoupledDescent(read, mo.networks.Coupling(2, layers=1), mo.networks.Writer(1, 2, STRIDE))
    with torch.no_grad():
        for weights in network.parameters():
            weights *= CALM
    return mo.unroll(network, steps, mo.Reversible(), keep="last")


def _rim() -> mo.Descent:
    return mo.Descent(mo.updates.ConvGru(channels=1, hidden=1, stride=STRIDE, context=0))


STRATEGIES = {"full": full, "checkpointed": checkpointed, "reversible": reversible}


def take_gradient(net: mo.Unrolled, problem: mo.InverseProblem, target: Tensor, steps: int) -> mo.Trajectory:
    """Of the last output's squared error, for the network's parameters."""
    net.zero_grad()
    trajectory = net(problem, steps=steps)
    mo.mse(trajectory.final, target).backward()
    return trajectory


def run_alone(strategy: str, steps: int, size: int) -> dict[str, float]:
    """What the fresh process does; returns what it measured. Its memory and time are in GiB and seconds."""
    with mo.foundation.drawing.drawing_from(0):
        net = STRATEGIES[strategy](steps)
        target = torch.rand(1, 1, size, size)
        problem = mo.InverseProblem(mo.operators.Identity(), target + 0.1 * torch.randn_like(target))
    state = sum(t.numel() * t.element_size() for t in mo.tree.leaves(net.algorithm.init(problem)))
    take_gradient(net, problem, target, steps=1)

    def timed() -> tuple[mo.Trajectory, float]:
        begin = time.perf_counter()
        return take_gradient(net, problem, target, steps), time.perf_counter() - begin

    (trajectory, seconds), peak = peak_of(timed)
    drift = trajectory.report.backward_residual
    measured = {"state": state / GIB, "peak": peak, "seconds": seconds}
    return measured if drift is None else {**measured, "drift": drift}


def measure(strategy: str, steps: int, size: int, repeats: int, expected: float = 0.0) -> dict[str, Any]:
    """One row: medians over ``repeats`` processes, and their extremes. ``expected``: its peak in GiB, where known."""
    _check_room(f"The {strategy} gradient of {steps} steps", expected * ROOM)
    measured = [_fresh_process(strategy, steps, size) for _ in range(repeats)]
    row: dict[str, Any] = {"strategy": strategy, "steps": steps}
    for name in measured[0]:
        values = [each[name] for each in measured]
        row |= {name: statistics.median(values)}
        row |= {f"{name}_low": min(values), f"{name}_high": max(values)} if name in ("peak", "seconds") else {}
    return row


def _check_room(what: str, needed: float) -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024 / GIB
    if free < needed:
        raise SystemExit(
            f"{what} needs {needed:.1f} GiB, but only {free:.1f} GiB of memory are free; close what else is running, "
            "or measure on a larger machine. What is measured so far is kept."
        )


def _fresh_process(strategy: str, steps: int, size: int) -> Mapping[str, float]:
    command = [sys.executable, "-m", __name__, strategy, str(steps), str(size)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **MALLOC}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore", mo.MetaoptWarning)  # a large drift is a column of the table
    print(json.dumps(run_alone(sys.argv[1], *map(int, sys.argv[2:]))))

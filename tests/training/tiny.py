"""A training that takes a second: two networks, one task, and settings; run as a program it is one to kill or share."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import metaopt as mo
from metaopt.core.gradients import Truncated
from metaopt.training import Rate, Settings, Watch, train


@dataclass(frozen=True)
class Noisy:
    """Denoising of smooth random pictures in float64. ``poison``: the seed whose batch holds an infinite target."""

    poison: int = -1
    pause: float = 0.0

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor]:
        time.sleep(self.pause)
        generator = torch.Generator().manual_seed(seed)
        target = torch.randn(2, 1, 6, 6, dtype=torch.float64, generator=generator).cumsum(-1) / 6
        y = target + 0.3 * torch.randn(target.shape, dtype=torch.float64, generator=generator)
        if seed == self.poison:
            target = target.clone()
            target[0, 0, 0, 0] = torch.inf
        return mo.InverseProblem(mo.operators.Identity(), y, 0.3), target


def machine(hidden: int = 3, seed: int = 0) -> mo.core.Unrolled:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return mo.models.rim(hidden=hidden, steps=2, gradient=Truncated(2)).double()


SETTINGS = Settings(updates=20, steps=(2, 4), rate=Rate(3e-3, 1e-4, 5), clip=0.5, ema=0.9, batches=2)
WATCH = Watch(log_every=1, validate_every=5, checkpoint_every=3, batches=2)


def run(folder: Path, net: Any = None, task: Any = None, settings: Settings = SETTINGS, seed: int = 0) -> Any:
    net = machine() if net is None else net
    result = train(net, task or Noisy(), folder, settings, Noisy(), watch=WATCH, seed=seed)
    return net, result


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), task=Noisy(pause=float(sys.argv[2])))

"""A training that takes a second, a recipe for one, and weights of none. Run as a program, it trains to be killed."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

import metaopt as mo
from metaopt.core.gradients import Truncated
from metaopt.training import LearningRate, Settings, Watch, train
from metaopt.weights import save_tensors


@dataclass(frozen=True)
class Noisy:
    """Denoising of smooth random pictures in float64. ``poison``: the seed whose batch holds an infinite target."""

    poison: int = field(default=-1, compare=False)
    pause: float = field(default=0.0, compare=False)

    def sample(self, seed: int) -> tuple[mo.InverseProblem, Tensor]:
        time.sleep(self.pause)
        generator = torch.Generator().manual_seed(seed)
        target = torch.randn(2, 1, 6, 6, dtype=torch.float64, generator=generator).cumsum(-1) / 6
        y = target + 0.3 * torch.randn(target.shape, dtype=torch.float64, generator=generator)
        if seed == self.poison:
            target = target.clone()
            target[0, 0, 0, 0] = torch.inf
        return mo.InverseProblem(mo.operators.Identity(), y, 0.3), target


def network(hidden: int = 3, seed: int = 0) -> mo.core.Unrolled:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return mo.models.rim(hidden=hidden, steps=2, gradient=Truncated(2)).double()


SETTINGS = Settings(updates=20, steps=(2, 4), rate=LearningRate(3e-3, 1e-4, 5), clip=0.5, ema=0.9, batches=2)
SHORT = replace(SETTINGS, updates=2, rate=LearningRate(3e-3, 1e-4, 1))
WATCH = Watch(log_every=1, validate_every=5, checkpoint_every=3, batches=2)


def _run(folder: Path, net: Any = None, task: Any = None, settings: Settings = SETTINGS, seed: int = 0) -> Any:
    net = network() if net is None else net
    result = train(net, task or Noisy(), folder, settings, Noisy(), watch=WATCH, seed=seed)
    return net, result


def write_recipe(folder: Path) -> Path:
    """Grey denoising on four generated pictures of 20 x 24 pixels, 6 updates at a constant rate."""
    from PIL import Image

    (folder / "pictures").mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for i in range(4):
        samples = random.integers(0, 256, (20, 24, 3) if i else (20, 24), np.uint8)
        Image.fromarray(samples).save(folder / "pictures" / f"{i}.png")
    pictures = {"call": "metaopt.data.read_pictures", "folder": str(folder / "pictures")}
    patches = {"call": "metaopt.tasks.Patches", "pictures": pictures, "size": 8, "batch": 2}
    task = {"call": "metaopt.tasks.Denoising", "patches": patches}
    gradient = {"call": "metaopt.core.gradients.Truncated", "last": 2}
    rate = {"call": "metaopt.training.LearningRate", "peak": 1.0e-3, "final": 1.0e-3, "warmup": 0}
    recipe = {
        "seed": 3,
        "model": {"call": "metaopt.models.rim", "hidden": 4, "kernels": [1], "stride": 2, "gradient": gradient},
        "task": task,
        "validation": task,
        "settings": {"updates": 6, "steps": [2, 3], "rate": rate},
        "watch": {"log_every": 2, "validate_every": 6, "checkpoint_every": 1, "batches": 1},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "tiny.yaml"


def write_weights(folder: Path, **model: Any) -> Path:
    """A small network with random weights, and its card."""
    model = {"hidden": 4, "kernels": [3], "stride": 2, "steps": 3, **model}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_tensors(folder / "tiny.safetensors", mo.models.rim(**model).state_dict(), {})
    (folder / "tiny.json").write_text(json.dumps({"name": "tiny", "model": model, "trained_steps": model["steps"]}))
    return folder / "tiny.safetensors"


def run(*arguments: Any, **keywords: Any) -> Any:
    """:func:`_run` on one thread: how sums are split among threads decides their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run(*arguments, **keywords)
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    run(Path(sys.argv[1]), task=Noisy(pause=float(sys.argv[2])))

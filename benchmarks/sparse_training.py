"""Train ALISTA and NA-ALISTA for `benchmarks.sparse_coding`: `python -m benchmarks.sparse_training [NAME ...]`.

Every row is the recipe that `recipe(name)` gives, carried out in runs/sparse/NAME (run it again after an interruption
and it goes on); the learned numbers and their card come to benchmarks/weights. A row is of one dictionary, which its
seed draws again. ALISTA was trained on a GPU (--device cuda --workers 3), NA-ALISTA on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from metaopt.weights import load, read_card

from .training import WEIGHTS, carry_out

RUNS = Path("runs/sparse")
STEPS = 16


class Setup(NamedTuple):
    """Of codes: A's rows and columns, active entries, SNR; and what training starts from."""

    rows: int
    columns: int
    active: float
    snr: float | None
    step_size: float
    penalty: float  # which makes the first threshold, and `decay` the others
    decay: float
    growth: float  # of the entries that pass without a threshold, in shares of the expected number of active ones
    most: float

    @property
    def share(self) -> float:
        return self.active / self.columns

    @property
    def support(self) -> list[float]:
        """From few to about the expected share of active entries."""
        return [self.share * min(self.most, self.growth * (k + 1)) for k in range(STEPS)]


SETUPS = {
    "n = 500": Setup(250, 500, 50, 40.0, 1.0, 2.3, 0.8, 0.12, 1.2),
    "n = 1000": Setup(250, 1000, 50, 40.0, 0.85, 8.8, 0.82, 1.25 / 16, 1.25),
    "no noise": Setup(256, 512, 51.2, None, 1.0, 3.2, 0.75, 0.16, 1.2),
}
TRAININGS: dict[str, tuple[str, str, int, float]] = {  # set-up, builder, updates, peak rate
    "alista_500": ("n = 500", "alista", 2600, 5e-3),
    "alista_1000": ("n = 1000", "alista", 6500, 5e-3),
    "alista_no_noise": ("no noise", "alista", 3900, 5e-3),
    "na_alista_500": ("n = 500", "na_alista", 800, 2e-3),
    "na_alista_1000": ("n = 1000", "na_alista", 7000, 2e-3),
    "na_alista_no_noise": ("no noise", "na_alista", 1500, 2e-3),
}
NAMES = {(setup, kind): name for name, (setup, kind, _, _) in TRAININGS.items()}


def recipe(name: str) -> dict[str, Any]:
    setup, kind, updates, peak = TRAININGS[name]
    of = SETUPS[setup]
    dictionary = {"call": "metaopt.operators.gaussian_dictionary", "rows": of.rows, "columns": of.columns, "seed": 0}
    task = {"call": "metaopt.tasks.SparseCodes", "dictionary": dictionary, "share": of.share, "snr": of.snr}
    start = {"penalty": of.penalty, "step_size": of.step_size, "decay": of.decay}
    return {
        "seed": 0,
        "model": {
            "call": f"metaopt.models.{kind}",
            "dictionary": dictionary,
            "steps": STEPS,
            "support": of.support,
            **start,
        },
        "task": {**task, "batch": 512},
        "validation": {**task, "batch": 1000},
        "settings": {
            "updates": updates,
            "steps": [STEPS, STEPS],
            "rate": {"call": "metaopt.training.LearningRate", "peak": peak, "final": peak / 1000, "warmup": 20},
            "clip": 1e-4,  # the losses are of 1e-5
            "ema": 0.995,
            "weights": "last",
        },
        "card": {"data": "generated codes", "validation": "mean square error of 4,000 other codes"},
        "watch": {"log_every": 50, "validate_every": 500, "checkpoint_every": 200, "batches": 4},
    }


def learned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is not made of the dictionary."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(("dictionary", "weights.value"))}


def trained(name: str) -> tuple[Any, dict[str, Any]]:
    """The network of that name with its learned numbers, and its card, which says how it is built."""
    path = WEIGHTS / f"{name}.safetensors"
    return load(path), read_card(path)


def main() -> None:
    carry_out(__doc__, TRAININGS, recipe, RUNS, quick=("alista_500", "na_alista_500"), shipped=learned)


if __name__ == "__main__":
    main()

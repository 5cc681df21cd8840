"""Train what `benchmarks.graphical_models` compares: `python -m benchmarks.graphical_training [NAME ...]`.

Every learned row is the recipe that `recipe(name)` gives, carried out in runs/graphical/NAME (run it again after an
interruption and it goes on); the weights and their card come to benchmarks/weights. All are trained on generated models
alone: Ising models and spin glasses on 17 structures, tables of up to four states on the same, and random factor graphs
with zeros; no model of a file is used, nor to choose anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .few_shot_training import carry_out

RUNS = Path("runs/graphical")
BATCH = 24
MODELS: dict[str, tuple[dict[str, Any], int, float]] = {  # builder's keywords, updates, peak rate
    "learned_bp": ({"steps": 30}, 1500, 3e-3),
    "neural_enhanced_bp": ({"steps": 12, "hidden": 16}, 2000, 2e-3),
    "graph_network": ({"steps": 12, "hidden": 32}, 3000, 2e-3),
    "mean_field_net": ({"steps": 12}, 600, 1e-2),
}


def models(low: int, high: int, batch: int) -> dict[str, Any]:
    """A mixture of generated models of ``low`` to ``high`` variables."""
    fields = {"call": "metaopt.tasks.RandomFields", "variables": [low, high], "batch": batch}
    return {
        "call": "metaopt.tasks.Mixture",
        "weights": [3, 1, 2],
        "tasks": [
            {**fields, "couplings": [0.2, 4.0], "fields": [0.1, 1.5]},
            {**fields, "states": 4, "couplings": [0.3, 3.0], "fields": [0.1, 2.0], "variables": [6, 12]},
            {"call": "metaopt.tasks.RandomFactors", "variables": [8, 16], "batch": batch},
        ],
    }


def recipe(name: str) -> dict[str, Any]:
    keywords, updates, peak = MODELS[name]
    steps = keywords["steps"]
    return {
        "seed": 0,
        "model": {"call": f"metaopt.models.{name}", **keywords},
        "task": models(9, 25, BATCH),
        "validation": models(16, 36, BATCH),
        "loss": "marginal_error",
        "settings": {
            "updates": updates,
            "steps": [steps, steps] if name == "mean_field_net" else [max(4, steps // 2), steps],
            "rate": {"call": "metaopt.training.Rate", "peak": peak, "final": peak / 100, "warmup": 50},
            "clip": 1.0,
            "ema": 0.99,
            "weights": "linear",
        },
        "card": {
            "data": "generated models: Ising, spin glasses, tables and factor graphs of 6 to 25 variables; no file",
            "validation": "total variation distance of marginals on 24 batches of models of 16 to 36 variables",
        },
        "watch": {"log_every": 25, "validate_every": 250, "checkpoint_every": 100, "batches": 24},
    }


def main() -> None:
    carry_out(__doc__, MODELS, recipe, RUNS)


if __name__ == "__main__":
    main()

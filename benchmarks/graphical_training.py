"""Train what `benchmarks.graphical_models` and `benchmarks.ldpc` compare.

`python -m benchmarks.graphical_training [NAME ...]`: every learned row is the recipe that `recipe(name)` gives, carried
out in runs/graphical/NAME (run it again after an interruption and it goes on); the weights and their card come to
benchmarks/weights. Inference is trained on generated models alone: Ising models and spin glasses on 17 structures,
tables of up to four states on the same, random factor graphs with zeros, and random Bayesian networks with evidence;
no model of a file is used, nor to choose anything. Decoders are trained on words of MacKay's (96, 48) code, through
both channels at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .training import carry_out

RUNS = Path("runs/graphical")
BATCH = 16
HARD = ["grid", "torus", "regular", "random", "small world"]
CHECKS = "graphs/ldpc/mackay_96_48/96.3.963"
FILE = {"call": "metaopt.data.data_path", "relative": CHECKS}
CODE = {"call": "metaopt.data.read_alist", "path": FILE}
INFERENCE: dict[str, tuple[dict[str, Any], int, float]] = {  # builder's keywords, updates, peak rate
    "learned_bp": ({"steps": 40}, 1200, 3e-3),
    "neural_enhanced_bp": ({"steps": 12, "hidden": 16}, 1200, 3e-3),
    "graph_network": ({"steps": 12, "hidden": 32}, 1200, 3e-3),
    "mean_field_net": ({"steps": 12}, 400, 1e-2),
}
DECODERS: dict[str, tuple[dict[str, Any], int, float]] = {
    "weighted_bp": ({"steps": 20, "factors": 48}, 150, 2e-2),
    "neural_enhanced_decoder": ({"steps": 20, "hidden": 12}, 400, 3e-3),
}


def models(low: int, high: int, batch: int) -> dict[str, Any]:
    """A mixture of generated models; its spin glasses have ``low`` to ``high`` variables."""
    fields = {"call": "metaopt.tasks.RandomFields", "variables": [9, 20], "batch": batch}
    glasses = {**fields, "structures": HARD, "variables": [low, high], "couplings": [0.5, 10.0], "fields": [0.1, 3.0]}
    return {
        "call": "metaopt.tasks.Mixture",
        "weights": [1, 3, 1, 2, 3],
        "tasks": [
            {**fields, "couplings": [0.2, 4.0], "fields": [0.1, 1.5]},
            glasses,
            {**fields, "states": 4, "couplings": [0.3, 3.0], "fields": [0.1, 2.0], "variables": [6, 12]},
            {"call": "metaopt.tasks.RandomFactors", "variables": [8, 16], "batch": batch},
            {"call": "metaopt.tasks.RandomNetworks", "variables": [12, 36], "batch": batch},
        ],
    }


def words(batch: int) -> dict[str, Any]:
    """Words of the code through white noise and through bursts, half of the batches each."""
    channel = {"call": "metaopt.tasks.Decoding", "checks": CODE, "snr": [1.0, 5.0], "batch": batch}
    return {"call": "metaopt.tasks.Mixture", "tasks": [channel, {**channel, "snr": [1.0, 12.0], "level": [0.5, 4.0]}]}


def recipe(name: str) -> dict[str, Any]:
    decoder = name in DECODERS
    keywords, updates, peak = (DECODERS if decoder else INFERENCE)[name]
    steps, fixed = keywords["steps"], name in ("mean_field_net", "weighted_bp")
    return {
        "seed": 0,
        "model": {"call": f"metaopt.models.{name}", **keywords},
        "task": words(64) if decoder else models(16, 36, BATCH),
        "validation": words(256) if decoder else models(36, 49, BATCH),
        "loss": "marginal_cross_entropy" if decoder else "marginal_error",
        "settings": {
            "updates": updates,
            "steps": [steps, steps] if fixed else [max(4, steps // 2), steps],
            "rate": {"call": "metaopt.training.LearningRate", "peak": peak, "final": peak / 100, "warmup": 50},
            "clip": 1.0,
            "ema": 0.99,
            "weights": "linear",
        },
        "card": card(decoder),
        "watch": {"log_every": 25, "validate_every": 250, "checkpoint_every": 100, "batches": 24},
    }


def card(decoder: bool) -> dict[str, str]:
    if decoder:
        data = "random words of MacKay's (96, 48) code; white noise, 1 to 5 dB, or bursts of 0.5 to 4, 1 to 12 dB"
        return {"data": data, "validation": "cross-entropy of the bits, in nats, on 24 batches of 256 words"}
    return {
        "data": "generated models: Ising, spin glasses, tables, factor graphs, Bayesian networks; no file",
        "validation": "total variation distance of marginals on 24 batches, spin glasses of 36 to 49 variables",
    }


def main() -> None:
    def data(name: str) -> list[str]:
        return [CHECKS] if name in DECODERS else []

    carry_out(__doc__, [*INFERENCE, *DECODERS], recipe, RUNS, quick=("learned_bp", "weighted_bp"), data=data)


if __name__ == "__main__":
    main()

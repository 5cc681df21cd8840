"""Train what `benchmarks.few_shot` compares: `python -m benchmarks.few_shot_training [NAME ...]`.

Every row is the recipe that `recipe(name)` gives, carried out in runs/few_shot/NAME (run it again after an interruption
and it goes on); the weights and their card come to benchmarks/weights. All rows have the same network. The prototypical
network is trained first, on 20 ways from random weights, and the others start from its convolutions: on two cores that
takes minutes where MAML from random weights takes hours. MAML was trained on a GPU (--device cuda --workers 3) with up
to three steps, and then for some hundred updates on a processor with smaller and more steps, as the recipes now say:
what their cards say is what was done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .training import carry_out

RUNS = Path("runs/few_shot")
FIRST = "prototypes_20"
OMNIGLOT = "fewshot/omniglot"
BACKGROUND = {"call": "metaopt.data.read_omniglot", "folder": OMNIGLOT, "part": "background"}
TRAINED_ON, VALIDATED_ON = 900, 64  # characters of the background set; each counts four times, turned
DISTORTION = 0.15  # of every image that is trained on; without it training errors were a quarter of validation's
METHODS = ("maml", "first_order_maml", "meta_sgd", "meta_lstm")
POLICIES = {"per_step": "PerStep", "frozen": "Frozen"}  # of BatchNorm; all else is transductive


class Training(NamedTuple):
    """Updates of the parameters, tasks in a batch, the peak rate, and the fewest and most steps of an adaptation."""

    updates: int
    tasks: int
    peak: float
    steps: tuple[int, int] = (1, 2)
    step_size: float = 0.4  # at the start


TRAININGS = {
    FIRST: Training(4000, 4, 2e-3, (1, 1)),
    "maml_5": Training(4500, 32, 1e-3, (4, 4), 0.2),
    "maml_20": Training(4500, 16, 1e-3, (4, 8), 0.25),
    "first_order_maml_5": Training(600, 16, 1e-3),
    "first_order_maml_20": Training(300, 6, 1e-3),
    "meta_sgd_5": Training(500, 16, 1e-3),
    "meta_sgd_20": Training(250, 6, 1e-3),
    "meta_lstm_5": Training(250, 4, 1e-3),
    "meta_lstm_20": Training(120, 2, 1e-3),
    "maml_5_per_step": Training(300, 16, 1e-3),
    "maml_5_frozen": Training(300, 16, 1e-3),
}


class Row(NamedTuple):
    """What a name says: "method_ways" or "method_ways_policy"."""

    method: str
    ways: int
    policy: str  # of BatchNorm


def row_of(name: str) -> Row:
    method = next(m for m in (*METHODS, "prototypes") if name.startswith(f"{m}_"))
    ways, _, policy = name.removeprefix(f"{method}_").partition("_")
    return Row(method, int(ways), policy)


def recipe(name: str) -> dict[str, Any]:
    row = row_of(name)
    of = TRAININGS[name]
    network: dict[str, Any] = {"call": "metaopt.networks.few_shot_network", "outputs": row.ways}
    if name == FIRST:
        network["outputs"] = None
    if row.policy:
        network["normalization"] = {"take": f"metaopt.models.{POLICIES[row.policy]}"}
    model: dict[str, Any] = {"call": f"metaopt.models.{row.method}", "network": network}
    if name != FIRST:
        model |= {"steps": of.steps[1], "step_size": of.step_size}
    task = {"call": "metaopt.tasks.FewShot", "ways": row.ways}
    return {
        "seed": 0,
        **({} if name == FIRST else {"start": f"benchmarks/weights/{FIRST}.safetensors"}),
        "model": model,
        "task": {
            **task,
            "images": {**BACKGROUND, "last": TRAINED_ON},
            "queries": 5,
            "tasks": of.tasks,
            "distortion": DISTORTION,
        },
        "validation": {
            **task,
            "images": {**BACKGROUND, "first": TRAINED_ON},
            "queries": 15,
            "tasks": 100 // row.ways,
        },
        "loss": "cross_entropy",
        "settings": {
            "updates": of.updates,
            "steps": list(of.steps),
            "rate": {"call": "metaopt.training.LearningRate", "peak": of.peak, "final": of.peak / 100, "warmup": 50},
            "clip": 1.0,
            "ema": 0.99,
            "weights": "linear" if of.steps[1] > 2 else "last",
        },
        "card": {
            "data": f"Omniglot's background set, {TRAINED_ON} of its 964 characters and their rotations (Lake et al.)",
            "validation": f"cross-entropy on {row.ways}-way 1-shot tasks of the other {VALIDATED_ON} characters",
        },
        "watch": {"log_every": 25, "validate_every": 250, "checkpoint_every": 100, "batches": 4},
    }


def main() -> None:
    carry_out(__doc__, TRAININGS, recipe, RUNS, quick=(FIRST, "maml_5"), data=lambda name: [OMNIGLOT])


if __name__ == "__main__":
    main()

"""Train what `benchmarks.few_shot` compares: `python -m benchmarks.few_shot_training [NAME ...]`.

Every row is the recipe that `recipe(name)` gives, carried out in runs/few_shot/NAME (run it again after an interruption
and it goes on); the weights and their card come to benchmarks/weights. All rows have the same network. The prototypical
network is trained first, on 20 ways from random weights, and the others start from its convolutions: on two cores that
takes minutes where MAML from random weights takes hours.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from metaopt.models.weights import load_tensors, save_tensors
from metaopt.training import run_recipe

WEIGHTS = Path(__file__).parent / "weights"
RUNS = Path("runs/few_shot")
FIRST = "prototypes_20"
BACKGROUND = {"call": "metaopt.data.read_omniglot", "folder": "fewshot/omniglot", "part": "background"}
TRAINED_ON, VALIDATED_ON = 900, 64  # characters of the background set; each counts four times, turned
DISTORTION = 0.15  # of every image that is trained on; without it training errors were a quarter of validation's
UNDISTORTED = ("maml_20",)  # which validates better so: 86.0 +- 1.2 % of 64 tasks, with distortion 84.0 +- 1.2
METHODS = ("maml", "first_order_maml", "meta_sgd", "meta_lstm")
POLICIES = {"per_step": "PerStep", "frozen": "Frozen"}  # of BatchNorm; all else is transductive
UPDATES = {  # by name: updates, tasks in a batch, peak rate
    FIRST: (4000, 4, 2e-3),
    "maml_5": (2000, 16, 1e-3),
    "maml_20": (700, 6, 1e-3),
    "first_order_maml_5": (600, 16, 1e-3),
    "first_order_maml_20": (300, 6, 1e-3),
    "meta_sgd_5": (500, 16, 1e-3),
    "meta_sgd_20": (250, 6, 1e-3),
    "meta_lstm_5": (250, 4, 1e-3),
    "meta_lstm_20": (120, 2, 1e-3),
    "maml_5_per_step": (300, 16, 1e-3),
    "maml_5_frozen": (300, 16, 1e-3),
}


def recipe(name: str) -> dict[str, Any]:
    """Of "method_ways" or "method_ways_policy"."""
    method, ways, policy = parts(name)
    updates, tasks, peak = UPDATES[name]
    network: dict[str, Any] = {"call": "metaopt.models.few_shot_network", "outputs": ways}
    if name == FIRST:
        network["outputs"] = None
    if policy:
        network["normalization"] = {"take": f"metaopt.models.{POLICIES[policy]}"}
    model: dict[str, Any] = {"call": f"metaopt.models.{method}", "network": network}
    if name != FIRST:
        model["steps"] = 2
    task = {"call": "metaopt.tasks.FewShot", "ways": ways}
    return {
        "seed": 0,
        **({} if name == FIRST else {"start": f"benchmarks/weights/{FIRST}.safetensors"}),
        "model": model,
        "task": {
            **task,
            "images": {**BACKGROUND, "last": TRAINED_ON},
            "queries": 5,
            "tasks": tasks,
            "distortion": 0.0 if name in UNDISTORTED else DISTORTION,
        },
        "validation": {**task, "images": {**BACKGROUND, "first": TRAINED_ON}, "queries": 15, "tasks": 100 // ways},
        "loss": "cross_entropy",
        "settings": {
            "updates": updates,
            "steps": [1, 1] if name == FIRST else [1, 2],
            "rate": {"call": "metaopt.training.Rate", "peak": peak, "final": peak / 100, "warmup": 50},
            "clip": 1.0,
            "ema": 0.99,
            "weights": "last",
        },
        "card": {
            "data": f"Omniglot's background set, {TRAINED_ON} of its 964 characters and their rotations (Lake et al.)",
            "validation": f"cross-entropy on {ways}-way 1-shot tasks of the other {VALIDATED_ON} characters",
        },
        "watch": {"log_every": 25, "validate_every": 250, "checkpoint_every": 100, "batches": 4},
    }


def parts(name: str) -> tuple[str, int, str]:
    method = next(m for m in (*METHODS, "prototypes") if name.startswith(f"{m}_"))
    ways, _, policy = name.removeprefix(f"{method}_").partition("_")
    return method, int(ways), policy


def carry_out(description: str | None, known: Iterable[str], recipe: Callable[[str], Any], runs: Path) -> None:
    """A command that trains the rows that it is given, by default all: weights and cards come to benchmarks/weights."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"which rows (default all): {', '.join(known)}")
    names = parser.parse_args().names or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(known)}")
    for name in names:
        folder = runs / name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe(name), sort_keys=False))
        run_recipe(path, folder)
        half = {n: t.half() for n, t in load_tensors(folder / "weights.safetensors")[0].items()}
        save_tensors(WEIGHTS / f"{name}.safetensors", half, {})
        shutil.copy(folder / "weights.json", WEIGHTS / f"{name}.json")


def main() -> None:
    carry_out(__doc__, UPDATES, recipe, RUNS)


if __name__ == "__main__":
    main()

"""Recipes: a YAML file that says everything about one training, so that its weights can be made again.

A mapping with the key ``call`` builds an object: ``{call: metaopt.tasks.Denoising, low: 1, ...}`` calls that public
name of this library with the other entries as keywords, and ``{take: metaopt.tasks.mlp}`` is that name itself. Each
entry of a recipe may call the names of a list that is constant; no other name is ever imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..core import MetaoptError, random
from ..losses import LOSSES, TrainingLoss
from ..records import remember
from ..weights import read_card
from ..weights.calls import build
from ..weights.cards import write_card
from .cards import card_of_training
from .log import read_log
from .loop import check_unrolled, train
from .settings import Settings, Watch
from .start import start_from

TASKS = (
    "Deblurring Decoding Denoising FewShot IllConditioned Inpainting LogisticRegression Mixture "
    "NetworkTrainings Patches Quadratics RandomFactors RandomFields RandomNetworks RandomProjections "
    "ReceivedCodewords RobustRegression Rosenbrock Sinusoids SparseCodes SuperResolution UndersampledMri "
    "UniformQuadratics block_projection grey_levels conv_net generator_matrix mlp pool shrinking"
).split()
READERS = (
    "data_path read_alist read_digits read_generator read_image read_mnist read_omniglot read_pictures read_slices"
).split()
# What each entry of a recipe may call, besides the model's. A task may read data; nothing may write.
TRAINING_CALLS = frozenset({"metaopt.training.LearningRate", "metaopt.training.Settings", "metaopt.training.Watch"})
TASK_CALLS = frozenset(
    [f"metaopt.tasks.{name}" for name in TASKS]
    + [f"metaopt.data.{name}" for name in READERS]
    + ["metaopt.operators.gaussian_dictionary"]
)
LOSS_CALLS = frozenset({"metaopt.losses.Supervised", "metaopt.losses.Unsupervised"}) | {
    f"metaopt.losses.{name}" for name in LOSSES
}
KEYS = ("model", "task", "validation", "loss", "settings", "watch", "seed", "start", "card")


def find_recipe(name: str) -> Path:
    """The path of a recipe: a file, or the name of one that comes with the package."""
    own = Path(__file__).parent / "recipes"
    path = Path(name) if Path(name).exists() else own / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in own.glob("*.yaml")))
        raise MetaoptError(f"There is no recipe file {name}, and the package has none of that name; it has {known}.")
    return path


def read_recipe(path: Path | str) -> dict[str, Any]:
    """The entries of a recipe, unbuilt."""
    import yaml

    try:
        recipe = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise MetaoptError(f"Cannot read the recipe {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MetaoptError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(recipe, dict) or not {"model", "task"} <= set(recipe) or set(recipe) - set(KEYS):
        found = ", ".join(map(str, recipe)) if isinstance(recipe, dict) else type(recipe).__name__
        raise MetaoptError(f"A recipe has the entries {', '.join(KEYS)} (the first two at least); {path} has {found}.")
    _check_entries(recipe, path)
    return recipe


def _check_entries(recipe: dict[str, Any], path: Path | str) -> None:
    for name in ("model", "task"):
        if not isinstance(recipe[name], dict) or "call" not in recipe[name]:
            raise MetaoptError(f"The entry {name} of {path} must be a mapping that says what to call.")
    for name in ("settings", "watch", "card"):
        if not isinstance(recipe.get(name) or {}, dict):
            raise MetaoptError(f"The entry {name} of {path} must be a mapping, not {recipe[name]!r}.")
    loss_of(recipe)
    if type(recipe.get("seed", 0)) is not int:
        raise MetaoptError(f"The entry seed of {path} must be a whole number, not {recipe['seed']!r}.")


def learning_curve(folder: Path | str) -> list[list[float]]:
    """[update, validation loss] of every validation of the training in ``folder``."""
    rows = read_log(Path(folder) / "log.csv")
    return [[int(row["update"]), round(float(row["validation"]), 6)] for row in rows if row["validation"]]


def loss_of(recipe: Mapping[str, Any]) -> TrainingLoss:
    """What the recipe trains and validates by: one of ``metaopt.losses.LOSSES``, by default mse, or what it builds."""
    loss = recipe.get("loss", "mse")
    if isinstance(loss, Mapping) and {"call", "take"} & set(loss):
        return build(loss, LOSS_CALLS)
    if not isinstance(loss, str) or loss not in LOSSES:
        raise MetaoptError(
            f"The loss of a recipe is one of {', '.join(LOSSES)}, or a mapping that says what to call, not {loss!r}."
        )
    return LOSSES[loss]


def run_recipe(
    path: Path | str, folder: Path | str, device: torch.device | str = "cpu", num_workers: int = 0
) -> dict[str, Any]:
    """Train by the recipe in ``folder``; called again after an interruption it goes on where the last checkpoint is.

    Leaves ``weights.safetensors`` and the card ``weights.json`` that :func:`metaopt.models.load` reads. What the recipe
    says under ``card`` (of its data, of its validation) stands there too, and the trainings that it started from.
    ``num_workers`` as in :func:`train`.

    Raises: MetaoptError where the recipe cannot be built or torch has no such device, and as :func:`train` does.
    """
    recipe = read_recipe(path)
    seed = recipe.get("seed", 0)
    with random.drawing_from(seed):  # as constructors of networks do
        net = build(recipe["model"])
    check_unrolled(net)
    remember(net, recipe["model"])
    if "start" in recipe:
        start_from(net, recipe["start"])
    net.to(_device(device))
    settings, watch = settings_of(recipe), watch_of(recipe)
    task, validation = task_of(recipe), task_of(recipe, "validation")
    result = train(
        net, task, folder, settings, validation, loss_of(recipe), watch=watch, seed=seed, num_workers=num_workers
    )
    card = {
        "name": Path(path).stem,
        "history": _history(recipe),
        "recipe": recipe,
        "curve": learning_curve(folder),
    }
    full = card_of_training(net, result, {**card, **(recipe.get("card") or {})})
    if full is not None:
        write_card(Path(folder) / "weights.safetensors", full)
    return result


def _device(name: torch.device | str) -> torch.device:
    """The device of that name; of several GPUs each process that ``torchrun`` started has its own."""
    if str(name) == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has an error of its own for each kind
        reason = str(error).split("\n")[0].rstrip(".")
        raise MetaoptError(f"The device {name} cannot be used: {reason}.") from error


def _history(recipe: Mapping[str, Any]) -> list[str]:
    """The trainings that this one started from, first to last."""
    if "start" not in recipe:
        return []
    start = read_card(recipe["start"])
    return [
        *start.get("history", []),
        f"{start.get('name')}: {start.get('updates')} updates in {start.get('minutes')} minutes",
    ]


def task_of(recipe: Mapping[str, Any], name: str = "task") -> Any:
    """The task that a recipe trains by, or its ``validation`` task; None where it has none."""
    return build(recipe.get(name), TASK_CALLS)


def settings_of(recipe: Mapping[str, Any]) -> Settings:
    """The settings of a recipe."""
    return build({**(recipe.get("settings") or {}), "call": "metaopt.training.Settings"}, TRAINING_CALLS)


def watch_of(recipe: Mapping[str, Any]) -> Watch:
    """When a recipe says to look and save."""
    return build({**(recipe.get("watch") or {}), "call": "metaopt.training.Watch"}, TRAINING_CALLS)

"""Recipes: a YAML file that says everything about one training, so that its weights can be made again.

A mapping with the key ``call`` builds an object: ``{call: metaopt.tasks.Denoising, low: 1, ...}`` calls that public
name of this library with the other entries as keywords, and
``{take: metaopt.losses.mse}`` is that name itself; no other name is ever imported.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..building import build
from ..core import MetaoptError, Unrolled
from ..files import replacing
from ..losses import LOSSES, TrainingLoss
from ..models.weights import read_card
from .log import read_log
from .loop import check_unrolled, train
from .settings import Settings, Watch
from .start import start_from

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
        return build(loss)
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
    torch.manual_seed(seed)
    net = build(recipe["model"])
    check_unrolled(net)
    if "start" in recipe:
        start_from(net, recipe["start"])
    net.to(_device(device))
    settings = build({**(recipe.get("settings") or {}), "call": SETTINGS})
    watch = build({**(recipe.get("watch") or {}), "call": WATCH})
    task, validation = build(recipe["task"]), build(recipe.get("validation"))
    result = train(
        net, task, folder, settings, validation, loss_of(recipe), watch=watch, seed=seed, num_workers=num_workers
    )
    card = {
        **_card(recipe, net, result, Path(path).stem),
        "curve": learning_curve(folder),
        **(recipe.get("card") or {}),
    }
    with replacing(Path(folder) / "weights.json") as file:
        file.write(json.dumps(card, indent=2).encode())
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


def _card(recipe: dict[str, Any], net: Unrolled, result: dict[str, Any], name: str) -> dict[str, Any]:
    """What a reader of the weights must know. The model's entries are the builder's keywords, without the gradient."""
    model = {key: value for key, value in _without_gradient(recipe["model"]).items() if key != "call"}
    start = read_card(recipe["start"]) if "start" in recipe else {}
    before = [f"{start.get('name')}: {start.get('updates')} updates in {start.get('minutes')} minutes"] if start else []
    return {
        "name": name,
        "kind": str(recipe["model"]["call"]).rpartition(".")[2],
        "model": model,
        "parameters": sum(p.numel() for p in net.parameters()),
        "trained_steps": net.steps,
        "updates": result["updates"],
        "minutes": round(result["minutes"], 1),
        "device": _name_of(next(net.parameters()).device),
        "validation_loss": result["validation"],
        "history": [*start.get("history", []), *before],
        "recipe": recipe,
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _without_gradient(node: Any) -> Any:
    """The entry without what says how to differentiate, at every level."""
    if not isinstance(node, Mapping):
        return node
    return {key: _without_gradient(value) for key, value in node.items() if key != "gradient"}


SETTINGS, WATCH = (f"metaopt.training.{kind.__name__}" for kind in (Settings, Watch))

"""Train by recipes, YAML files that describe a training completely, so that its weights can be made again.

A mapping with the key ``call`` builds an object: ``{call: metaopt.tasks.Patches, size: 40, ...}`` calls that public
name of this library with the other entries as keywords, and ``{take: metaopt.tasks.mlp}`` is the named object itself.
Each entry of a recipe may call only the names of a constant list; no other name is ever imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..core import MetaoptError, Unrolled
from ..files import check_apart
from ..foundation.drawing import drawing_from
from ..losses import LOSSES, TrainingLoss
from ..records import remember
from ..weights import read_card
from ..weights.building import Bounded, memory
from ..weights.calls import build
from ..weights.cards import check_json, weight_file, write_card
from .arguments import check_path, check_task, check_unrolled
from .cards import card_of_training
from .distributed import workers
from .log import read_log
from .loop import train
from .settings import MOST, Settings, Watch
from .start import start_from
from .yaml_file import read_yaml

TASKS = (
    "AirwayCts AirwayGraphs AirwayScenes BranchingGraphs Deblurring Decoding Denoising FewShot IllConditioned "
    "Inpainting LogisticRegression Mixture NetworkTrainings Patches Quadratics RadioImaging RandomFactors RandomFields "
    "RandomNetworks RandomProjections ReceivedCodewords RobustRegression Rosenbrock Sinusoids Skies SparseCodes "
    "SuperResolution UndersampledMri UniformQuadratics block_projection grey_levels conv_net generator_matrix mlp "
    "pool read_people shrinking"
).split()
READERS = (
    "data_path read_alist read_digits read_galaxies read_generator read_image read_magnitudes read_mnist read_omniglot "
    "read_pictures read_slices"
).split()
OPERATORS = (
    "cartesian_mask equispaced_mask gaussian_columns_mask gaussian_dictionary gaussian_mask poisson_disc_mask"
).split()
FEATURES = ("gaussian_features", "rigid_features")  # of the nodes and edges of a graph
# What each entry of a recipe may call, besides the model's. A task may read data; nothing may write.
TRAINING_CALLS = frozenset({"metaopt.training.LearningRate", "metaopt.training.Settings", "metaopt.training.Watch"})
TASK_CALLS = frozenset(
    [f"metaopt.tasks.{name}" for name in TASKS]
    + [f"metaopt.data.{name}" for name in READERS]
    + [f"metaopt.problems.{name}" for name in FEATURES]
    + [f"metaopt.operators.{name}" for name in OPERATORS]
)
LOSS_CALLS = frozenset({"metaopt.losses.Supervised", "metaopt.losses.Unsupervised"}) | {
    f"metaopt.losses.{name}" for name in LOSSES
}
LARGEST = 2**32  # bytes of one tensor of a network
TRAINED = 4  # times the memory of its parameters that a network takes in training, at the least
KEYS = ("model", "task", "validation", "loss", "settings", "watch", "seed", "start", "card")


def find_recipe(name: str) -> Path:
    """Return the path of a recipe.

    Args:
        name: The path of a file, or the name of a recipe that comes with the package.

    Returns:
        The path.

    Raises:
        MetaoptError: There is neither.
    """
    check_path("recipe", name)
    own = Path(__file__).parent / "recipes"
    path = Path(name) if Path(name).exists() else own / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in own.glob("*.yaml")))
        raise MetaoptError(f"There is no recipe file {name}, and the package has none of that name; it has {known}.")
    return path


def read_recipe(path: Path | str) -> dict[str, Any]:
    """Return the entries of a recipe without building them.

    Args:
        path: The YAML file.

    Returns:
        A mapping of the entries.

    Raises:
        MetaoptError: The file cannot be read, is not YAML, has no end, is larger than any recipe, holds what a card
            cannot hold, lacks ``model`` or ``task``, or has an entry that is unknown or of the wrong kind.
    """
    check_path("recipe", path)
    recipe = read_yaml(Path(path))
    if not isinstance(recipe, dict) or not {"model", "task"} <= set(recipe) or set(recipe) - set(KEYS):
        found = f"{', '.join(map(str, recipe)):.200}" if isinstance(recipe, dict) else type(recipe).__name__
        raise MetaoptError(f"A recipe has the entries {', '.join(KEYS)} (the first two at least); {path} has {found}.")
    _check_entries(recipe, path)
    return recipe


def _check_entries(recipe: dict[str, Any], path: Path | str) -> None:
    for name in ("model", "task"):
        if not isinstance(recipe[name], dict) or "call" not in recipe[name]:
            raise MetaoptError(f"The entry {name} of {path} must be a mapping that says what to call.")
    for name in ("settings", "watch", "card"):
        if recipe.get(name) is not None and not isinstance(recipe[name], dict):
            raise MetaoptError(f"The entry {name} of {path} must be a mapping, not {recipe[name]!r:.80}.")
    if recipe.get("validation") is not None and not (
        isinstance(recipe["validation"], dict) and "call" in recipe["validation"]
    ):
        raise MetaoptError(f"The entry validation of {path} must be a mapping that says what to call.")
    for name in ("settings", "watch"):
        if "call" in (recipe.get(name) or {}):
            raise MetaoptError(f"The entry {name} of {path} calls nothing; it holds the settings themselves.")
    loss_of(recipe)
    if type(recipe.get("seed", 0)) is not int:
        raise MetaoptError(f"The entry seed of {path} must be a whole number, not {recipe['seed']!r:.80}.")
    if not isinstance(recipe.get("start", ""), str):
        raise MetaoptError(f"The entry start of {path} must name weights, not {recipe['start']!r:.80}.")


def learning_curve(folder: Path | str) -> list[list[float]]:
    """Return the validation losses of a training so far.

    Args:
        folder: The folder of the training.

    Returns:
        A list of [update, validation loss].

    Raises:
        MetaoptError: The log cannot be read.
    """
    rows = read_log(Path(folder) / "log.csv")
    return [[int(row["update"]), round(float(row["validation"]), 6)] for row in rows if row["validation"]]


def loss_of(recipe: Mapping[str, Any]) -> TrainingLoss:
    """Return the loss of a recipe: one of ``metaopt.losses.LOSSES`` (by default ``mse``), or what its mapping builds.

    Args:
        recipe: The entries of the recipe.

    Returns:
        The training loss.

    Raises:
        MetaoptError: The loss is unknown or cannot be built.
    """
    loss = recipe.get("loss", "mse")
    if isinstance(loss, Mapping) and {"call", "take"} & set(loss):
        return build(loss, LOSS_CALLS)
    if not isinstance(loss, str) or loss not in LOSSES:
        raise MetaoptError(
            f"The loss of a recipe is one of {', '.join(LOSSES)}, or a mapping that says what to call, not "
            f"{loss!r:.80}."
        )
    return LOSSES[loss]


def run_recipe(
    path: Path | str, folder: Path | str, device: torch.device | str = "cpu", num_workers: int = 0
) -> dict[str, Any]:
    """Train by a recipe; after an interruption, call it again to continue from the last checkpoint.

    It leaves ``weights.safetensors`` and the card ``weights.json``, which :func:`metaopt.models.load` reads. The card
    includes what the recipe says under ``card``, and the trainings that the weights started from.

    Args:
        path: The YAML file.
        folder: Receives weights, card, log and checkpoint.
        device: Where the network is trained.
        num_workers: Number of processes that draw batches ahead, as for :func:`train`.

    Returns:
        What :func:`train` returns.

    Raises:
        MetaoptError: The recipe cannot be built, torch has no such device, or :func:`train` refuses.
    """
    check_path("folder", folder)
    with workers(_device(device)) as team:
        with team.together():
            recipe = read_recipe(path)
            net = _network_of(recipe, Path(folder)).to(team.device)
            settings, watch = settings_of(recipe), watch_of(recipe)
            task, validation = task_of(recipe), task_of(recipe, "validation")
            card = {"name": Path(path).stem, "history": _history(recipe), "recipe": recipe}
            card |= recipe.get("card") or {}
            check_json(card)
        seed = recipe.get("seed", 0)
        result = train(net, task, folder, settings, validation, loss_of(recipe), watch, seed, num_workers, recipe)
        with team.together():
            full = card_of_training(net, result, {"curve": learning_curve(folder), **card}) if team.leads else None
            if full is not None:
                write_card(Path(folder) / "weights.safetensors", full)
    return result


def _network_of(recipe: Mapping[str, Any], folder: Path) -> Unrolled[Any, Any, Any]:
    """Build the network of a recipe on the CPU."""
    with drawing_from(recipe.get("seed", 0)), Bounded(LARGEST, memory() // TRAINED):  # as constructors of networks do
        net = build(recipe["model"])
    check_unrolled(net)
    remember(net, recipe["model"])
    if "start" in recipe:
        check_apart(folder / "weights.safetensors", weight_file(recipe["start"]))
        start_from(net, recipe["start"])
    return net


def _device(name: torch.device | str) -> torch.device:
    """Return the device of that name; with several GPUs, each process that ``torchrun`` started has its own."""
    if not isinstance(name, str | torch.device):
        raise MetaoptError(f"A device is a text such as 'cpu' or 'cuda', or a torch.device, not {name!r:.80}.")
    if str(name) == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        tensor = torch.zeros(1, device=name)
        float(tensor)  # a device without values, such as meta, is of no use
        return tensor.device
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
        ValueError,
    ) as error:  # each kind of device raises its own
        reason = str(error).split("\n")[0].rstrip(".")
        raise MetaoptError(f"The device {name} cannot be used: {reason}.") from error


def _history(recipe: Mapping[str, Any]) -> list[str]:
    """Return the trainings that this one started from, first to last."""
    if "start" not in recipe:
        return []
    start = read_card(recipe["start"])
    earlier = start.get("history", [])
    return [
        *(map(str, earlier) if isinstance(earlier, list) else ()),
        f"{start.get('name')}: {start.get('updates')} updates in {start.get('minutes')} minutes",
    ]


def task_of(recipe: Mapping[str, Any], name: str = "task") -> Any:
    """Build the task of a recipe.

    Args:
        recipe: The entries of the recipe.
        name: ``"task"`` or ``"validation"``.

    Returns:
        The task, or None where the recipe has none of that name.

    Raises:
        MetaoptError: The task cannot be built.
    """
    _check_batches(recipe.get(name), name)
    task = build(recipe.get(name), TASK_CALLS)
    if recipe.get(name) is not None:
        check_task(f"{name} of the recipe", task)
    return task


def _check_batches(node: Any, place: str) -> None:
    """Check that no entry ``batch`` is larger than any batch can be, which would be drawn for days."""
    if isinstance(node, Mapping):
        batch = node.get("batch")
        if isinstance(batch, int) and batch > MOST:
            raise MetaoptError(f"{place}.batch of the recipe is a whole number of at most {MOST:,}, not {batch:.6g}.")
    for key, value in node.items() if isinstance(node, Mapping) else enumerate(node if isinstance(node, list) else ()):
        _check_batches(value, f"{place}.{key}")


def settings_of(recipe: Mapping[str, Any]) -> Settings:
    """Build the settings of a recipe.

    Args:
        recipe: The entries of the recipe.

    Returns:
        The settings.

    Raises:
        MetaoptError: A setting is unknown or has a value that it cannot have.
    """
    return build({**(recipe.get("settings") or {}), "call": "metaopt.training.Settings"}, TRAINING_CALLS)


def watch_of(recipe: Mapping[str, Any]) -> Watch:
    """Build the logging intervals of a recipe.

    Args:
        recipe: The entries of the recipe.

    Returns:
        When to log, validate and save.

    Raises:
        MetaoptError: An entry is unknown or not a positive whole number.
    """
    return build({**(recipe.get("watch") or {}), "call": "metaopt.training.Watch"}, TRAINING_CALLS)

"""Say which training a checkpoint belongs to, so that no other goes on from it and is credited with its weights."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..core import MetaoptError, Unrolled
from ..core.gradients import Backprop, Checkpointed, Reversible
from ..losses import TrainingLoss
from ..records import record_of
from ..weights.cards import card_of
from .description import Descriptions, plain
from .settings import Settings

CHANGING = "changing"  # the entry that names those that change while the training runs
MAY_CHANGE = ("settings.updates",)  # what may differ in a run that goes on
RECIPE = ("model", "task", "validation", "start")  # entries of a recipe beside settings, loss and seed
KINDS, DIGESTS = ("function", "tensor", "class"), ("code", "digest")  # entries that say what something is
EXACT = (Backprop, Checkpointed, Reversible)  # each gives the same gradient, in another memory
VERSIONS = f"metaopt {__version__}, torch {torch.__version__}, Python {platform.python_version()}"


def describe_training(
    net: Unrolled[Any, Any, Any],
    settings: Settings,
    loss: TrainingLoss,
    task: Any,
    validation: Any,
    recipe: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Describe a training for its checkpoint, so that only the same training goes on from there.

    Args:
        net: The network.
        settings: The settings.
        loss: The training loss.
        task: The task.
        validation: The task of the validation, or None.
        recipe: The entries of its recipe, or None.

    Returns:
        Nested mappings, lists, texts and numbers.
    """
    frozen = {name: p for name, p in net.named_parameters() if not p.requires_grad}
    return {
        "versions": VERSIONS,
        "settings": Descriptions().of(settings),
        "loss": Descriptions().of(loss),
        "task": Descriptions().of(task),
        "validation": Descriptions().of(validation),
        "network": _network(net),
        "frozen": Descriptions().of({name: p.detach() for name, p in frozen.items()}),
        "recipe": None if recipe is None else _entries({key: recipe[key] for key in RECIPE if key in recipe}),
    }


def changing(before: Any, now: Any, path: str = "") -> list[str]:
    """Return the entries of a description that have changed during the training, such as a counter of a task.

    They say nothing about which training it is. What a container gained or lost is an entry of the container.

    Args:
        before: The description from before the training.
        now: That of now.
        path: Where these are in the whole.

    Returns:
        The paths of the entries, as :func:`check_same_training` reads them.
    """
    if before == now:
        return []
    pairs: dict[Any, tuple[Any, Any]] = {}
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = dict(enumerate(zip(before, now, strict=True)))
    elif isinstance(before, Mapping) and isinstance(now, Mapping) and "tensor" not in before:
        gains = "class" in before or before.keys() == now.keys()  # an object may gain attributes
        pairs = {key: (before.get(key), now.get(key)) for key in {**before, **now}} if gains else {}
    if not pairs:
        return [] if path.rpartition(".")[2] == "code" else [path]  # too much depends on that
    return [entry for key, pair in pairs.items() for entry in changing(*pair, f"{path}.{key}".lstrip("."))]


def check_same_training(path: Path, found: Any, own: Mapping[str, Any]) -> set[str]:
    """Check that a checkpoint belongs to this training; earlier versions recorded less, or nothing, of what it is.

    Entries that changed while the training ran, which :func:`changing` found, are not compared.

    Args:
        path: The checkpoint, for error messages.
        found: What :func:`describe_training` returned when it was written, or None.
        own: What it returns for this training.

    Returns:
        The paths of the entries that changed while it ran.

    Raises:
        MetaoptError: They differ; the message says in what.
    """
    if not isinstance(found, Mapping):
        return set()
    varying = {entry for entry in found.get(CHANGING) or () if isinstance(entry, str)}
    if "versions" not in found:  # until 0.1 the class of the task and names of functions were all that was kept
        own = _as_recorded(found, own)
    if found.get("validation") is None or own.get("validation") is None:  # it changes no weights
        found, own = ({k: v for k, v in of.items() if k != "validation"} for of in (found, own))
    then, now = dict(_flat(found)), dict(_flat(own))
    left_out = tuple(f"{entry}." for entry in (*varying, "versions", CHANGING, *MAY_CHANGE))
    keys = {key for key in then.keys() | now.keys() if not f"{key}.".startswith(left_out)}
    if found.get("versions") != own.get("versions"):  # they may compile code to another, or have further arguments
        keys = {key for key in keys & then.keys() if key.rpartition(".")[2] != "code"}
    other = sorted((k for k in keys if then.get(k) != now.get(k)), key=_rank)
    if other:
        rest = f" ({len(other)} entries differ in all)" if len(other) > 1 else ""
        if other[0] == "settings.batches":
            rest += f" (batches={then.get(other[0])} goes on from there in any number of processes that divides it)"
        raise MetaoptError(
            f"{path} belongs to another training: {_difference(other[0], then, now)}{rest}; train in a new folder, or "
            "remove the checkpoints of this one to start anew."
        )
    return varying


def _network(net: Unrolled[Any, Any, Any]) -> Any:
    """Describe a network by the call that made it, or by its modules where no call makes it again."""
    try:
        card_of(net, {})
        found = Descriptions().of(record_of(net))
    except MetaoptError:
        found = Descriptions(trained=True).of(net)
    return {k: v for k, v in found.items() if k != "gradient" or type(net.gradient) not in EXACT}


def _entries(node: Any) -> Any:
    """Return what a recipe says as it is."""
    if isinstance(node, Mapping):
        return {str(key): _entries(item) for key, item in node.items()}
    return [_entries(item) for item in node] if isinstance(node, list | tuple) else plain(node)


def _as_recorded(found: Any, own: Any) -> Any:
    """Return a description without what the one found, of an earlier version, does not record."""
    if isinstance(found, Mapping) and isinstance(own, Mapping):
        return {key: _as_recorded(item, own.get(key)) for key, item in found.items()}
    if isinstance(found, list) and isinstance(own, list) and len(found) == len(own):
        return [_as_recorded(*pair) for pair in zip(found, own, strict=True)]
    if isinstance(found, str) and isinstance(own, Mapping):
        return next((own[key] for key in KINDS if key in own), own)
    return own


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    if not items:
        yield path, node if isinstance(node, Mapping | list) else plain(node)
    for key, value in items:
        yield from _flat(value, f"{path}.{key}".lstrip("."))


def _rank(key: str) -> tuple[int, str]:
    """Return what sorts differences by how much they say: kinds, values, digests."""
    last = key.rpartition(".")[2]
    return (2 if last in DIGESTS else last not in KINDS), key


def _difference(key: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the words for what differs."""
    place, _, last = key.rpartition(".")
    if key in then and key in now and last in DIGESTS:
        what = "the code, or what it reads," if last == "code" else "the content"
        return f"{what} of its {place} was another"
    said = [f"{values[key]!r:.80}" if key in values else "nothing" for values in (then, now)]
    shown = place if last in KINDS and place else key
    return f"its {shown} is {said[0]}, but that of this one is {said[1]}"

"""Say what trained networks are for, and refuse those that are for something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..arguments.contracts import checked
from ..core import MetaoptError
from .cards import read_card, shipped

# What networks are trained to do by the tasks of recipes, for cards that do not say it themselves.
TRAINED_BY = {
    "metaopt.tasks.Deblurring": "deblur",
    "metaopt.tasks.Denoising": "denoise",
    "metaopt.tasks.Inpainting": "inpaint",
    "metaopt.tasks.RadioImaging": "image visibilities",
    "metaopt.tasks.RandomProjections": "reconstruct from projections",
    "metaopt.tasks.SuperResolution": "upscale",
    "metaopt.tasks.UndersampledMri": "reconstruct MRI",
}
# Networks that map inverse problems to pictures. Without a recipe nothing says for which operators they were trained.
RESTORERS = (
    "data_consistent irim learned_clean learned_map proximal_net radio_rim rim untie without_estimate without_memory"
)
RESTORING = {f"metaopt.models.{name}" for name in RESTORERS.split()}


@checked
def tasks_of(card: Mapping[str, Any]) -> list[str] | None:
    """Return what a network was trained to do, such as ``["denoise"]``, or None where nothing says it.

    Args:
        card: The card, which says it under ``tasks``, by its recipe, or by the kind of network.

    Raises:
        MetaoptError: The entry ``tasks`` is not a list of words.
    """
    if (stated := card.get("tasks")) is not None:
        if not isinstance(stated, list) or not all(isinstance(task, str) for task in stated):
            raise MetaoptError(f"The entry 'tasks' of a card is a list such as ['denoise'], not {stated!r}.")
        return stated
    made = card.get("call")
    call = str(made.get("call")) if isinstance(made, Mapping) else "nothing"
    if call not in RESTORING:
        return [f"be {call.rpartition('.')[2]}"]
    recipe = card.get("recipe")
    names = {str(task.get("call")) for task in _tasks(recipe.get("task") if isinstance(recipe, Mapping) else None)}
    return sorted({TRAINED_BY.get(name, name) for name in names}) or None


@checked
def check_task(name: str | Path, task: str) -> None:
    """Raise unless weights were trained for a task; those of which nothing says what they are for pass.

    Args:
        name: A shipped name, or the path of a ``.safetensors`` file.
        task: The task, such as ``"denoise"``.

    Raises:
        MetaoptError: They were trained for others, or as for :func:`read_card`.
    """
    found = tasks_of(read_card(name))
    if found is None or task in found:
        return
    fitting = [other for other in shipped() if task in (tasks_of(read_card(other)) or ())]
    raise MetaoptError(
        f"The weights {name} were trained to {' and '.join(found)}, not to {task}; the shipped weights for that are "
        f"{', '.join(fitting) or 'none'}."
    )


def _tasks(task: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a recipe's task that are no mixtures of others."""
    if not isinstance(task, Mapping):
        return
    parts = task.get("tasks")
    if not isinstance(parts, list):
        yield task
    for part in parts if isinstance(parts, list) else ():
        yield from _tasks(part)

"""Check what is given to a training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core import MetaoptError, Unrolled
from ..core.errors import warn
from .settings import MOST, LearningRate, Settings, Watch, check_count


def check_unrolled(net: Any) -> None:
    """Check that ``net`` is an unrolled algorithm with parameters.

    Args:
        net: Anything that was given to be trained.

    Raises:
        MetaoptError: It is not.
    """
    if not isinstance(net, Unrolled):
        raise MetaoptError(f"train needs an unrolled algorithm, as metaopt.unroll gives, not {type(net).__name__}.")
    if net.steps > MOST:
        raise MetaoptError(
            f"This network takes {net.steps:,} steps where it is validated, which never ends; at most {MOST:,} can be."
        )
    if next(net.parameters(), None) is None:
        raise MetaoptError(
            "This network has no parameters, so there is nothing to train; open a slot by metaopt.parameterize."
        )


def check_task(name: str, task: Any) -> None:
    """Check that ``task`` draws batches.

    Args:
        name: The name of the argument.
        task: Anything that was given as a task.

    Raises:
        MetaoptError: It has no method ``sample``.
    """
    if isinstance(task, type) or not callable(getattr(task, "sample", None)):
        what = f"the class {task.__name__} itself" if isinstance(task, type) else f"a {type(task).__name__}"
        raise MetaoptError(
            f"The {name} of a training draws (problem, target) by {name}.sample(seed), as those of metaopt.tasks do, "
            f"but got {what}."
        )


def check_sample(sample: Any) -> tuple[Any, Any]:
    """Return what a task drew, a problem and its target.

    Args:
        sample: What ``task.sample(seed)`` returned.

    Returns:
        The pair.

    Raises:
        MetaoptError: It is no pair.
    """
    if not isinstance(sample, list | tuple) or len(sample) != 2:
        raise MetaoptError(
            f"task.sample(seed) returns a pair (problem, target), where the target may be None, but this one returned "
            f"a {type(sample).__name__}."
        )
    return sample[0], sample[1]


def check_arguments(
    task: Any, folder: Any, settings: Any, validation: Any, watch: Any, seed: Any, num_workers: Any, recipe: Any
) -> None:
    """Check the arguments of :func:`~metaopt.training.train` but for the network and the loss.

    Args:
        task: The task.
        folder: The folder.
        settings: The settings.
        validation: The task of the validation, or None.
        watch: How often to log.
        seed: The seed.
        num_workers: The number of processes.
        recipe: The entries of the recipe, or None.

    Raises:
        MetaoptError: One is of the wrong type.
    """
    check_task("task", task)
    if validation is not None:
        check_task("validation", validation)
    check_path("folder", folder)
    for name, value, kind in (("settings", settings, Settings), ("watch", watch, Watch)):
        if not isinstance(value, kind):
            raise MetaoptError(f"{name} must be a metaopt.training.{kind.__name__}, but got a {type(value).__name__}.")
    if settings.updates < settings.rate.warmup != LearningRate.warmup:  # whose default serves short trials too
        warn(
            f"The rate rises for warmup={settings.rate.warmup} updates, but there are {settings.updates} in all, so it "
            "never reaches its peak; give a shorter warmup or more updates."
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise MetaoptError(f"seed must be a whole number, but got {seed!r:.80}.")
    check_count("num_workers", num_workers, 0, 4096)
    if recipe is not None and not isinstance(recipe, Mapping):
        raise MetaoptError(f"recipe must be the entries of a recipe, a mapping, but got a {type(recipe).__name__}.")


def check_path(name: str, path: Any) -> None:
    """Check that ``path`` can be a path.

    Args:
        name: What it is for.
        path: Anything that was given as a path.

    Raises:
        MetaoptError: It is neither a text nor a path, or holds a null character.
    """
    if not isinstance(path, str | os.PathLike) or "\0" in os.fspath(path):
        raise MetaoptError(f"The {name} must be the path of one, but got {path!r:.80}.")

"""Openings say what a slot is to hold and whether it is learned: a value, one for all steps, or one a step."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ..foundation.constraints import is_interval
from ..foundation.words import LARGEST, said
from .errors import MetaoptError

Interval = tuple[float, float] | None
BOUNDLESS = float("inf")


@dataclass(frozen=True)
class Opening:
    """An opening says what a slot is to hold and whether it is learned.

    It is made by :func:`fixed`, :func:`shared` or :func:`per_step`.
    """

    value: Any
    learned: bool
    steps: int | None = None
    positive: bool = False
    interval: Any = None

    def __post_init__(self) -> None:
        bounds, steps = self.interval, self.steps
        if not (bounds is None or is_interval(bounds)) or self.positive not in (False, bounds is None):
            wanted = "positive=True or interval=(low, high) with finite low < high, not both"
            given = f"positive={said(self.positive)} and interval={said(bounds)}"
            raise MetaoptError(f"Give a slot {wanted}, but not {given}.")
        given = len(self.value) if isinstance(self.value, list | tuple) else None
        if given == 0 or given not in (None, steps):
            wants = f"per_step({steps}) needs {steps} values" if steps else "a slot for all steps holds one value"
            raise MetaoptError(f"{wants}, but its list holds {given}.")


def fixed(value: Any = None) -> Opening:
    """Fill a slot without learning it.

    Args:
        value: A number, a tensor or a module; a list gives one value per step. ``None`` keeps what the slot holds.
    """
    return Opening(value, learned=False, steps=len(value) if isinstance(value, list | tuple) else None)


def shared(value: Any = None, *, positive: bool = False, interval: Interval = None) -> Opening:
    """Learn one value for all steps (tied weights).

    Args:
        value: A number, a tensor or a module; ``None`` begins with what the slot holds.
        positive: Whether the value stays above 0 while it is learned.
        interval: The bounds (low, high) between which the value stays while it is learned; (0, inf) is ``positive``.

    Raises:
        MetaoptError: The value is a list, or the constraint is none.
    """
    return Opening(value, True, None, positive, interval)


def per_step(steps: int, value: Any = None, *, positive: bool = False, interval: Interval = None) -> Opening:
    """Learn one value for each of ``steps`` steps (untied weights).

    Args:
        steps: The number of steps.
        value: A number, a tensor or a module, which is repeated; a list of length ``steps`` gives one value per step;
            ``None`` begins with what the slot holds.
        positive: Whether the values stay above 0 while they are learned.
        interval: The bounds (low, high) between which the values stay while they are learned; (0, inf) is ``positive``.

    Raises:
        MetaoptError: ``steps`` is no whole number of at least 1, the list has another length, or the constraint is
            none.
    """
    return Opening(value, True, count(steps, 1, "The number of steps of per_step"), positive, interval)


def count(number: Any, least: int = 0, what: str = "The number of steps") -> int:
    """Return ``number`` as an int, or raise unless it is a whole number of at least ``least``."""
    if isinstance(number, bool) or not isinstance(number, Integral) or not least <= int(number) <= LARGEST:
        raise MetaoptError(f"{what} must be a whole number of at least {least}, but got {said(number)}.")
    return int(number)

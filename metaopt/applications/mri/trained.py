"""Say where k-space is outside of what a network was trained for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ...core import MetaoptWarning
from ...weights import read_card
from .methods import Method
from .preparation import Preparation

ACCELERATIONS = (2.0, 6.0)  # those of UndersampledMri, where the recipe does not name its own
SIDES = (48, 512)  # points of a side of k-space; patches that are trained on are smaller, slices seldom larger
VOXEL = (0.4, 4.0)  # millimetres: heads of 2 mm, shrunk to half, and photographs, whose detail is finer
BEYOND = 1.05  # the ratio from which a number counts as outside


def say_outside(method: Method, preparation: Preparation, mask: Tensor) -> None:
    """Warn, once for each way, where k-space is outside of what the network was trained for.

    The range of noise and intensity is part of the network, which warns by itself.

    Args:
        method: The method; classical ones were not trained.
        preparation: The planes.
        mask: Where one of them was sampled.
    """
    if method.net is None:
        return
    for text in _outside(_trained_accelerations(read_card(method.settings.network)), preparation, mask):
        warnings.warn(f"The network {method.settings.network} {text}", MetaoptWarning, stacklevel=3)


def _outside(accelerations: tuple[float, float], preparation: Preparation, mask: Tensor) -> Iterator[str]:
    acceleration = mask.numel() / max(1.0, float(mask.sum()))
    low, high = accelerations
    if acceleration > BEYOND * high:
        yield (
            f"was trained for accelerations of {low:g} to {high:g}, but k-space is accelerated {acceleration:.3g} "
            "times; it may invent what was not measured, so compare with --method cs."
        )
    sides = preparation.planes.shape
    if min(sides) < SIDES[0] or max(sides) > SIDES[1]:
        yield (
            f"is tried on planes of {SIDES[0]} to {SIDES[1]} points a side, but these are {sides[0]} x {sides[1]}; "
            "compare with --method cs."
        )
    voxel = preparation.planes.voxel
    if voxel is not None:
        within = [size for axis, size in enumerate(voxel) if axis != preparation.planes.axis]
        if min(within) * BEYOND < VOXEL[0] or max(within) > BEYOND * VOXEL[1]:
            yield (
                f"was trained on detail of {VOXEL[0]:g} to {VOXEL[1]:g} mm, but pixels are {within[0]:.3g} x "
                f"{within[1]:.3g} mm; compare with --method cs."
            )


def _trained_accelerations(card: Mapping[str, Any]) -> tuple[float, float]:
    """Return the widest range of the recipe's tasks."""
    found = list(_named(card.get("recipe"), "accelerations"))
    pairs = [pair for pair in found if isinstance(pair, list) and len(pair) == 2]
    if not pairs:
        return ACCELERATIONS
    return min(float(pair[0]) for pair in pairs), max(float(pair[1]) for pair in pairs)


def _named(node: Any, name: str) -> Iterator[Any]:
    """Yield the entries of a name in the task of a recipe."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == name:
                yield value
            elif key != "validation":
                yield from _named(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value, name)

"""Say where k-space is outside of what a network was trained for."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ...core import MetaoptWarning
from ...tasks import UndersampledMri
from ...weights import read_card
from .methods import Method
from .preparation import Preparation

TASK = "metaopt.tasks.UndersampledMri"
BEYOND = 1.05  # the ratio from which a number counts as outside

Bounds = tuple[float, float]


def say_outside(method: Method, preparation: Preparation, mask: Tensor) -> None:
    """Warn, once for each way, where k-space is outside of what the network was trained for, as its card says.

    The range of noise and intensity is part of the network, which warns by itself. Of what the card does not say,
    nothing is said, but the accelerations are then those of its recipe.

    Args:
        method: The method; classical ones were not trained.
        preparation: The planes.
        mask: Where one of them was sampled.
    """
    if method.net is None:
        return
    for text in _outside(method, preparation, mask):
        warnings.warn(f"The network {method.settings.network} {text}", MetaoptWarning, stacklevel=3)


def _outside(method: Method, preparation: Preparation, mask: Tensor) -> Iterator[str]:
    trained = method.net.algorithm.trained_range
    stated: Bounds | None = getattr(trained, "acceleration", None)
    bounds = _by_recipe(read_card(method.settings.network)) if stated is None else stated
    if bounds is not None:
        yield from _accelerated(bounds, mask)
    planes = preparation.planes
    bounds = getattr(trained, "pixels", None)
    if bounds is not None and (min(planes.shape) < bounds[0] or max(planes.shape) > bounds[1]):
        yield (
            f"was trained for planes of {bounds[0]:g} to {bounds[1]:g} points a side, but these are "
            f"{' x '.join(map(str, planes.shape))}; compare with --method cs."
        )
    bounds = getattr(trained, "voxel", None)
    if bounds is not None and planes.voxel is not None:
        within = [size for axis, size in enumerate(planes.voxel) if axis != planes.axis]
        if min(within) * BEYOND < bounds[0] or max(within) > BEYOND * bounds[1]:
            yield (
                f"was trained on detail of {bounds[0]:g} to {bounds[1]:g} mm, but pixels are {within[0]:.3g} x "
                f"{within[1]:.3g} mm; compare with --method cs."
            )


def _accelerated(bounds: Bounds, mask: Tensor) -> Iterator[str]:
    low, high = bounds
    acceleration = mask.numel() / max(1.0, float(mask.sum()))
    if acceleration > BEYOND * high:
        yield (
            f"was trained for accelerations of {low:g} to {high:g}, but k-space is accelerated {acceleration:.3g} "
            "times; it may invent what was not measured, so compare with --method cs."
        )
    if acceleration * BEYOND < low:
        how = "sampled in full" if acceleration == 1 else f"accelerated {acceleration:.3g} times"
        yield (
            f"was trained for accelerations of {low:g} to {high:g}, but k-space is {how}; it may explain the data "
            "worse than a method that was not trained, so look at --check, and compare with --method cs."
        )


def _by_recipe(card: Mapping[str, Any]) -> Bounds | None:
    """Return the widest range of the tasks of the recipe, or None where it has none of undersampled k-space."""
    recipe = card.get("recipe")
    found = list(_pairs(recipe.get("task"))) if isinstance(recipe, Mapping) else []
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def _pairs(node: Any) -> Iterator[Bounds]:
    """Yield the accelerations that a task of a recipe, and those that it is made of, state or have by default."""
    if isinstance(node, Mapping):
        pair = node.get("accelerations")
        if pair is None and node.get("call") == TASK:
            pair = inspect.signature(UndersampledMri).parameters["accelerations"].default
        if isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(bound, int | float) for bound in pair):
            yield float(pair[0]), float(pair[1])
    for value in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from _pairs(value)

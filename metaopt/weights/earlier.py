"""Translate cards and recipes of earlier versions to the names, keywords and units of this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Names in cards and recipes of earlier versions, and what they are called now.
RENAMED = {
    "metaopt.Truncated": "metaopt.core.gradients.Truncated",
    "metaopt.models.Frozen": "metaopt.networks.Frozen",
    "metaopt.models.PerStep": "metaopt.networks.PerStep",
    "metaopt.models.Transductive": "metaopt.networks.Transductive",
    "metaopt.models.few_shot_network": "metaopt.networks.few_shot_network",
    "metaopt.tasks.gaussian_dictionary": "metaopt.operators.gaussian_dictionary",
    "metaopt.training.Rate": "metaopt.training.LearningRate",
    "metaopt.updates.EachPart": "metaopt.updates.ComplexAsBatch",
    "metaopt.updates.Perceptron": "metaopt.networks.Perceptron",
    "metaopt.updates.RealImaginary": "metaopt.updates.ComplexAsChannels",
    "metaopt.updates.Recurrent": "metaopt.networks.Recurrent",
}

# Tasks that took noise in grey levels of 255, with the keyword: a list of low and high, or two keywords in that order.
GREY_LEVELS = {
    "metaopt.tasks.Deblurring": "noise",
    "metaopt.tasks.Denoising": "low high",
    "metaopt.tasks.Inpainting": "noise",
    "metaopt.tasks.RandomProjections": "noise",
    "metaopt.tasks.SuperResolution": "noise",
}


# What took a range as ``low`` and ``high``: how it is called now, and what the two were by default.
RANGES = {
    "metaopt.tasks.Deblurring": ("widths", 0.5, 3.0),
    "metaopt.tasks.Inpainting": ("kept_shares", 0.1, 0.9),
    "metaopt.tasks.RandomProjections": ("ratios", 0.1, 0.5),
}


def renewed(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry with ``call`` of an earlier version in the keywords and units of this one.

    Args:
        node: A mapping with ``call`` and its arguments.

    Returns:
        The mapping, changed where the call took other keywords or units in an earlier version.
    """
    return _with_ranges(_with_levels(node))


def _with_levels(node: Mapping[str, Any]) -> Mapping[str, Any]:
    call, rest = str(node["call"]), dict(node)
    if call == "metaopt.tasks.UndersampledMri" and "noise" in node:
        return {"noise_levels": rest.pop("noise"), **rest}
    words = GREY_LEVELS.get(call, "").split()
    if not set(words) & set(node):
        return node
    defaults = {"low": 1.0, "high": 55.0}
    levels = [rest.pop(word, defaults[word]) for word in words] if len(words) > 1 else rest.pop(words[0])
    return {"noise_levels": {"call": "metaopt.tasks.grey_levels", "low": levels[0], "high": levels[1]}, **rest}


def _with_ranges(node: Mapping[str, Any]) -> Mapping[str, Any]:
    name, low, high = RANGES.get(str(node["call"]), ("", 0.0, 0.0))
    if not name or not {"low", "high"} & set(node):
        return node
    rest = {key: value for key, value in node.items() if key not in ("low", "high")}
    return {**rest, name: [node.get("low", low), node.get("high", high)]}

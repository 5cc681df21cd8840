"""Cards and recipes of earlier versions, in the names, keywords and units of this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Names of earlier versions, as cards and recipes that were written then have them.
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

# What took noise levels in grey levels of 255, and under which keyword; in a list in this order or as low and high.
GREY_LEVELS = {
    "metaopt.tasks.Deblurring": "noise",
    "metaopt.tasks.Denoising": "low high",
    "metaopt.tasks.Inpainting": "noise",
    "metaopt.tasks.RandomProjections": "noise",
    "metaopt.tasks.SuperResolution": "noise",
}


def renewed(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry with ``call``, as it was written for an earlier version, in today's keywords and units."""
    call, rest = str(node["call"]), dict(node)
    if call == "metaopt.tasks.UndersampledMri" and "noise" in node:
        return {"noise_levels": rest.pop("noise"), **rest}
    words = GREY_LEVELS.get(call, "").split()
    if not set(words) & set(node):
        return node
    defaults = {"low": 1.0, "high": 55.0}
    levels = [rest.pop(word, defaults[word]) for word in words] if len(words) > 1 else rest.pop(words[0])
    return {"noise_levels": {"call": "metaopt.tasks.grey_levels", "low": levels[0], "high": levels[1]}, **rest}

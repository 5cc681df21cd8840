"""Objects from what a recipe or a card says of them.

A mapping whose key ``call`` is a public name of the package calls it with the other entries as keywords; a mapping with
the one key ``take`` is what has that name, uncalled.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from .core import MetaoptError

# What took noise levels in grey levels of 255, and under which keyword; in a list in this order or as low and high.
GREY_LEVELS = {
    "metaopt.tasks.Deblurring": "noise",
    "metaopt.tasks.Denoising": "low high",
    "metaopt.tasks.Inpainting": "noise",
    "metaopt.tasks.RandomProjections": "noise",
    "metaopt.tasks.SuperResolution": "noise",
}


def build(node: Any, within: Sequence[str] = ("metaopt",)) -> Any:
    """Build what an entry describes, by public names ``within`` those packages only."""
    if isinstance(node, list):
        return [build(item, within) for item in node]
    if not isinstance(node, Mapping):
        return node
    if set(node) == {"take"}:
        return _public_name(str(node["take"]), within)
    if "call" not in node:
        return {key: build(value, within) for key, value in node.items()}
    node = renewed(node)
    function = _public_name(str(node["call"]), within)
    keywords = {key: build(value, within) for key, value in node.items() if key != "call"}
    signature = inspect.signature(function)
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise MetaoptError(f"{node['call']}: {error}; it takes {', '.join(signature.parameters)}.") from error
    try:
        return function(**keywords)
    except (TypeError, ValueError) as error:
        raise MetaoptError(f"{node['call']} cannot be made of what the recipe says: {error}.") from error


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


def _public_name(name: str, within: Sequence[str]) -> Any:
    module, _, attribute = name.rpartition(".")
    if not any(f"{module}.".startswith(f"{package}.") for package in within) or attribute.startswith("_"):
        raise MetaoptError(f"What is built here calls public names of {', '.join(within)} only, not {name!r}.")
    try:
        owner = importlib.import_module(module)
    except ImportError as error:
        raise MetaoptError(f"There is no module {module} (asked for by {name!r}).") from error
    callables = [name for name in getattr(owner, "__all__", ()) if callable(getattr(owner, name))]
    if attribute not in callables:
        raise MetaoptError(f"{module} has nothing public to call named {attribute!r}; it has {', '.join(callables)}.")
    return getattr(owner, attribute)

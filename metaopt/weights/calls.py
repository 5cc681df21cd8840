"""Networks from what a card or a recipe says of them: a call by its public name, from a list that is constant.

A mapping whose key ``call`` is such a name calls it with the other entries as keywords; a mapping with the one key
``take`` is what has that name, uncalled; one with the one key ``tensor`` is a tensor of the file beside the card.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..core import MetaoptError
from .earlier import RENAMED, renewed


def _names(package: str, names: str) -> frozenset[str]:
    return frozenset(f"metaopt.{package}.{name}" for name in names.split())


# What a card may call. Nothing here reads or writes a file.
MODEL_CALLS = (
    _names("core", "fixed per_step shared")
    | _names("core.gradients", "Backprop Checkpointed Implicit Reversible Truncated")
    | _names("operators", "gaussian_dictionary")
    | _names("networks", "Frozen LstmSchedule PerStep Perceptron Recurrent Transductive few_shot_network")
    | _names(
        "updates",
        "Adam AdamW ComplexAsBatch ComplexAsChannels ConvGru CoordinatewiseLstm LearnedAdam MetaLstm Momentum Nesterov "
        "RMSprop Sgd WithoutEstimate WithoutMemory",
    )
    | _names(
        "models",
        "alista appnp first_order_maml gcn graph_network implicit_gnn irim learned_bp learned_map learned_optimizer "
        "lista lista_cp maml mean_field_net meta_lstm meta_sgd na_alista neural_enhanced_bp neural_enhanced_decoder "
        "prototypes proximal_net rim sgc untie weighted_bp without_estimate without_memory",
    )
)


def build(node: Any, allowed: frozenset[str] = MODEL_CALLS, tensors: Mapping[str, Tensor] | None = None) -> Any:
    """Build what an entry describes, by ``allowed`` names only.

    Args:
        node: A number, text or list, or a mapping as this module's docstring says.
        allowed: Public names that may be called or taken.
        tensors: What ``{"tensor": name}`` may mean.

    Raises:
        MetaoptError: A name that is not allowed or unknown, or arguments that do not fit what is called.
    """
    if isinstance(node, list):
        return [build(item, allowed, tensors) for item in node]
    if not isinstance(node, Mapping):
        return node
    if set(node) == {"take"}:
        return _resolve(str(node["take"]), allowed)
    if set(node) == {"tensor"}:
        if tensors is None or node["tensor"] not in tensors:
            raise MetaoptError(f"The weights have no tensor {node['tensor']!r}, which their card asks for.")
        return tensors[node["tensor"]]
    if "call" not in node:
        return {key: build(value, allowed, tensors) for key, value in node.items()}
    node = renewed(node)
    function = _resolve(str(node["call"]), allowed)
    keywords = {str(key): build(value, allowed, tensors) for key, value in node.items() if key != "call"}
    signature = inspect.signature(function)
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise MetaoptError(f"{node['call']}: {error}; it takes {', '.join(signature.parameters)}.") from error
    try:
        return function(**keywords)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MetaoptError(f"{node['call']} cannot be made of what is said: {error}.") from error


def _resolve(name: str, allowed: frozenset[str]) -> Any:
    name = RENAMED.get(name, name)
    module, _, attribute = name.rpartition(".")
    if name not in allowed:
        beside = sorted(n.rpartition(".")[2] for n in allowed if n.rpartition(".")[0] == module)
        hint = f"of {module} these may be called: {', '.join(beside)}" if beside else "nothing there may be called"
        raise MetaoptError(f"{name!r} is not among the public names that may be called here; {hint}.")
    return getattr(importlib.import_module(module), attribute)

"""Build networks from the calls in cards and recipes, by public names from a constant allow-list.

A mapping with the key ``call`` calls the object of that name with the other entries as keywords. A mapping with the
single key ``take`` is the object of that name, not called. A mapping with the single key ``tensor`` is a tensor of the
file beside the card.
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


# What a card may call. A card can come from a stranger, so nothing here may read or write a file.
MODEL_CALLS = (
    frozenset(f"torch.nn.functional.{name}" for name in ("cross_entropy", "l1_loss", "mse_loss", "smooth_l1_loss"))
    | _names("core", "fixed per_step shared")
    | _names("core.gradients", "Backprop Checkpointed Implicit Reversible Truncated")
    | _names("operators", "gaussian_dictionary")
    | _names(
        "networks",
        "EdgePotentials Frozen LstmSchedule PerStep Perceptron Recurrent Transductive few_shot_network "
        "potentials_from_numbers",
    )
    | _names(
        "updates",
        "Adam AdamW ComplexAsBatch ComplexAsChannels ConvGru CoordinatewiseLstm LearnedAdam MetaLstm Momentum Nesterov "
        "RMSprop Sgd WithoutEstimate WithoutMemory",
    )
    | _names(
        "models",
        "airway_network "
        "alista appnp data_consistent edge_network edge_perceptron first_order_maml gcn graph_network implicit_gnn "
        "irim learned_bp learned_bp_refinement learned_clean learned_map learned_optimizer lista lista_cp maml "
        "mean_field_net "
        "mean_field_refinement meta_lstm meta_sgd na_alista neural_enhanced_bp neural_enhanced_decoder prototypes "
        "proximal_net radio_rim rim sgc untie weighted_bp without_estimate without_memory",
    )
)


def build(node: Any, allowed: frozenset[str] = MODEL_CALLS, tensors: Mapping[str, Tensor] | None = None) -> Any:
    """Build what an entry of a card or recipe describes, calling only ``allowed`` names.

    Args:
        node: A number, string or list, or a mapping as this module's docstring explains.
        allowed: Public names that may be called or taken.
        tensors: The tensors that ``{"tensor": name}`` may refer to, by name.

    Returns:
        What the entry describes.

    Raises:
        MetaoptError: A name is unknown or not allowed, or the arguments do not fit what is called.
    """
    try:
        return _built(node, allowed, tensors)
    except RecursionError:
        raise MetaoptError("What is said is nested too deeply to be built.") from None


def _built(node: Any, allowed: frozenset[str], tensors: Mapping[str, Tensor] | None) -> Any:
    if isinstance(node, list):
        return [_built(item, allowed, tensors) for item in node]
    if not isinstance(node, Mapping):
        return node
    if set(node) == {"take"}:
        return _resolve(str(node["take"]), allowed)
    if set(node) == {"tensor"}:
        if tensors is None or not isinstance(node["tensor"], str) or node["tensor"] not in tensors:
            raise MetaoptError(f"The weights have no tensor {node['tensor']!r}, which their card asks for.")
        return tensors[node["tensor"]]
    if "call" not in node:
        return {key: _built(value, allowed, tensors) for key, value in node.items()}
    node = renewed(node)
    function = _resolve(str(node["call"]), allowed)
    keywords = {str(key): _built(value, allowed, tensors) for key, value in node.items() if key != "call"}
    signature = inspect.signature(function)
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise MetaoptError(f"{node['call']}: {error}; it takes {', '.join(signature.parameters)}.") from error
    try:
        return function(**keywords)
    except Exception as error:  # of arguments that are not checked, a constructor may raise almost anything
        raise MetaoptError(f"{node['call']} cannot be made of what is said: {str(error).rstrip('.')}.") from error


def _resolve(name: str, allowed: frozenset[str]) -> Any:
    name = RENAMED.get(name, name)
    module, _, attribute = name.rpartition(".")
    if name not in allowed:
        beside = sorted(n.rpartition(".")[2] for n in allowed if n.rpartition(".")[0] == module)
        hint = f"of {module} these may be called: {', '.join(beside)}" if beside else "nothing there may be called"
        raise MetaoptError(f"{name!r} is not among the public names that may be called here; {hint}.")
    return getattr(importlib.import_module(module), attribute)

"""Store trained networks in files: their tensors, and a card that describes them and how to build them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..arguments.contracts import checked
from ..core import MetaoptError, Unrolled
from ..files import read_bytes, replacing
from ..foundation.drawing import drawing_from
from ..foundation.literals import parse_json
from ..records import record_of
from .building import Bounded, in_float32
from .calls import build
from .entries import check_entries, named_tensors
from .fitting import check_built, check_finite, check_fits, check_layers, convert
from .tensors import load_tensors, save_tensors

SHIPPED = Path(__file__).parent
LARGEST_CARD = 2**24  # bytes
LEAST = 2**26  # bytes of one tensor that any card may ask for, and 16 times the size of its weights
RANGE = "metaopt.problems.TrainedRange"
PREFIX = "call/"  # marks tensors that are arguments of the call rather than part of the network's state


def shipped() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


@checked
def read_card(name: str | Path) -> dict[str, Any]:
    """Return the card of weights: how to build the network (``call``), its data, updates, minutes and validation.

    Cards of earlier versions, which have ``kind`` and ``model`` instead of ``call``, are converted.

    Args:
        name: One of :func:`shipped`, or the path of a ``.safetensors`` file.

    Returns:
        The card as a dictionary.

    Raises:
        MetaoptError: The name is unknown, the card is missing, or the file is not a card.
    """
    path = weight_file(name).with_suffix(".json")
    try:
        card = parse_json(read_bytes(path, LARGEST_CARD))
    except OSError as error:
        raise MetaoptError(f"The weights need their card beside them, but {path} cannot be read: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise MetaoptError(f"{path} is not the card of weights: {str(error).rstrip('.')}.") from error
    if isinstance(card, dict) and isinstance(card.get("model"), dict) and "call" not in card:
        card["call"] = {"call": f"metaopt.models.{card.get('kind', 'rim')}", **card["model"]}
    if not isinstance(card, dict) or not isinstance(card.get("call"), dict) or "call" not in card["call"]:
        raise MetaoptError(f"{path} is not the card of weights: its entry 'call' must say what builds the network.")
    check_entries(card, f"the card {path}")
    return card


@checked
def load(name: str | Path) -> Unrolled[Any, Any, Any]:
    """Load a trained network by its shipped name, or from a ``.safetensors`` file with its card.

    Args:
        name: One of :func:`shipped`, or the path of a file.

    Returns:
        The network, in evaluation mode, with no parameter requiring a gradient.

    Raises:
        MetaoptError: The name is unknown, the file is damaged or of another kind, or the weights do not fit the card's
            call.

    Where the card says what range of intensity and noise the weights were trained for, the network changes the units of
    problems that are outside, and warns where that does not help (:class:`metaopt.problems.TrainedRange`).
    """
    path = weight_file(name)
    tensors, card = load_tensors(path)[0], read_card(name)
    arguments = {n.removeprefix(PREFIX): t for n, t in tensors.items() if n.startswith(PREFIX)}
    own = {n: t for n, t in tensors.items() if not n.startswith(PREFIX)}
    if unused := sorted(arguments.keys() - named_tensors(card["call"])):
        raise MetaoptError(f"{path} holds {PREFIX}{unused[0]}, which its card does not use; they are of two networks.")
    called = card["call"]["call"]
    try:
        with (
            drawing_from(0),  # first, because threads pass it one after the other
            in_float32(),
            Bounded(max(LEAST, 16 * path.stat().st_size)),
        ):  # the initial weights, which are replaced, do not matter
            net = build(card["call"], tensors=arguments)
    except MetaoptError as error:
        raise MetaoptError(f"The card of {path} describes no network of this version ({called}): {error}") from error
    check_built(net, path, called)
    for tensor, kind in card.get("dtypes", {}).items():
        convert(net, tensor, kind, path)
    if card.get("dtypes"):
        check_layers(net, path)
    learned = {n for n, _ in net.named_parameters(remove_duplicate=False)}
    built = {n: t for n, t in net.state_dict().items() if n in card.get("derived", []) and n not in learned}
    check_fits(net, own := {**built, **own}, path)
    net.load_state_dict(own)
    if "trained_range" in card:
        net.algorithm.trained_range = _range_of(card, path)
    return net.eval().requires_grad_(False)


@checked
def save(net: nn.Module, path: str | Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write a network that a public constructor made: its tensors to ``path``, and its card beside it.

    The card says how the network is built; ``card`` adds what else a reader should know, such as data, updates and
    validation.

    Args:
        net: What a constructor of :mod:`metaopt.models` returned, trained or not.
        path: ``NAME.safetensors``. Its folder is made if needed.
        card: Further entries, which JSON can hold.

    Returns:
        ``path``.

    Raises:
        MetaoptError: No public constructor made the network, it was changed since, a value is not finite, the card
            cannot be written as JSON, or the path cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise MetaoptError(f"Weights are saved in a file NAME.safetensors, not in {path}.")
    state = net.state_dict()
    full, arguments = card_of(net, {"name": path.stem, **(card or {})})
    text = _json(full)
    check_finite(state, path)
    own = {name: tensor.clone() for name, tensor in state.items()}  # safetensors refuses tensors that share memory
    save_tensors(path, {**own, **arguments}, {})
    _write(path, text)
    return path


def card_of(net: nn.Module, card: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the card of a network that a public constructor made, and the tensors that are arguments of its call.

    Args:
        net: The network.
        card: Further entries, as for :func:`save`.

    Returns:
        The card, and a mapping from names in the file to tensors.

    Raises:
        MetaoptError: No public constructor made the network, or it was changed since.
    """
    arguments: dict[str, Tensor] = {}
    call = _written(record_of(net), "", arguments)
    again, state = _rebuilt(net, call, arguments).state_dict(), net.state_dict()
    entries: dict[str, Any] = {"parameters": sum(p.numel() for p in net.parameters())}
    if dtypes := {n: str(t.dtype).removeprefix("torch.") for n, t in state.items() if t.dtype != again[n].dtype}:
        entries["dtypes"] = dtypes
    if (trained := getattr(getattr(net, "algorithm", None), "trained_range", None)) is not None:
        entries["trained_range"] = dataclasses.asdict(trained)
    return {**entries, **card, "call": call}, {PREFIX + name: tensor for name, tensor in arguments.items()}


@checked
def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write ``card`` as JSON beside the weights ``path``.

    Args:
        path: The file of the weights.
        card: The entries, which JSON can hold.

    Raises:
        MetaoptError: The card cannot be written as JSON, or the file cannot be written.
    """
    _write(path, _json(card))


def check_json(card: Mapping[str, Any]) -> None:
    """Check that a card can be written, which is best done before the work that it describes.

    Args:
        card: The entries.

    Raises:
        MetaoptError: JSON cannot hold it, or an entry that is read is of another kind.
    """
    _json(card)
    if "trained_range" in card:
        _range_of(card, Path(str(card.get("name"))))


def thaw(net: nn.Module) -> None:
    """Let those parameters require a gradient that did when a public constructor made the network.

    Of a network that none made, all of them do.

    Args:
        net: The network, changed in place.
    """
    try:
        arguments: dict[str, Tensor] = {}
        call = _written(record_of(net), "", arguments)
        again = _rebuilt(net, call, arguments)
    except MetaoptError:
        again = net
    trained = {name for name, p in again.named_parameters() if again is net or p.requires_grad}
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in trained and (parameter.is_floating_point() or parameter.is_complex()))


def _json(card: Mapping[str, Any]) -> str:
    check_entries(card, "a card")
    try:
        return json.dumps(card, indent=2, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise MetaoptError(
            f"A card holds finite numbers, texts, lists and mappings, which JSON knows: {error}."
        ) from error


def _write(path: Path, text: str) -> None:
    with replacing(path.with_suffix(".json")) as file:
        file.write(text.encode() + b"\n")


@checked
def read_weights(name: str | Path) -> dict[str, Tensor]:
    """Return the tensors of weights by name.

    Args:
        name: One of :func:`shipped`, or the path of a ``.safetensors`` file.

    Returns:
        A mapping from names to tensors.

    Raises:
        MetaoptError: The name is unknown, or the file is not a readable safetensors file.
    """
    return load_tensors(weight_file(name))[0]


def weight_file(name: str | Path) -> Path:
    """Return the path of shipped weights by name; the path of a ``.safetensors`` file is returned as it is.

    Args:
        name: One of :func:`shipped`, or the path of a ``.safetensors`` file.

    Returns:
        The path.

    Raises:
        MetaoptError: The name is unknown.
    """
    path = Path(name)
    if path.suffix == ".safetensors":
        return path
    if str(name).strip() and os.path.isdir(path):
        raise MetaoptError(f"{name} is a folder; give the path of the .safetensors file in it.")
    path = SHIPPED / f"{name}.safetensors"
    if str(name) not in shipped():
        raise MetaoptError(
            f"There are no shipped weights {str(name)!r:.80}; there are {', '.join(shipped()) or 'none'}. For weights "
            "of your own give the path of their .safetensors file."
        )
    return path


def _written(node: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return a record as a card holds it: tensors by name, and no gradient strategy, which changes no result."""
    if isinstance(node, Tensor):
        tensors[name] = node.detach()
        return {"tensor": name}
    if isinstance(node, Mapping):
        items = {key: value for key, value in node.items() if key != "gradient"}
        return {key: _written(value, f"{name}.{key}".lstrip("."), tensors) for key, value in items.items()}
    return [_written(v, f"{name}.{i}".lstrip("."), tensors) for i, v in enumerate(node)] if _is_list(node) else node


def _is_list(node: Any) -> bool:
    return isinstance(node, list | tuple)


def _rebuilt(net: nn.Module, call: dict[str, Any], arguments: Mapping[str, Tensor]) -> nn.Module:
    """Return what the call makes, and raise where that differs from ``net``, which was then changed since."""
    # The initial weights of what is built do not matter, and the global generator is the caller's.
    with in_float32(), drawing_from(0):
        again = build(call, tensors=arguments)
    fits = {n: tuple(t.shape) for n, t in net.state_dict().items()}
    if fits == {n: tuple(t.shape) for n, t in again.state_dict().items()} and _same_settings(net, again):
        return again
    raise MetaoptError(
        f"This network was changed after {call['call']} made it, so its card would build another one; make it by one "
        "call, or save its state_dict() with safetensors.torch.save_file."
    )


def _same_settings(net: nn.Module, again: nn.Module) -> bool:
    """Whether ``net`` holds every plain value that the modules of ``again`` hold as attributes."""
    pairs = zip(net.named_modules(), again.named_modules(), strict=True)
    return all(
        name == other and vars(module).get(key) == value
        for (name, module), (other, made) in pairs
        for key, value in vars(made).items()
        if isinstance(value, bool | int | float | str) and key != "training"
    )


def _range_of(card: Mapping[str, Any], path: Path) -> Any:
    """Return the trained range that a card states."""
    try:
        stated = {"name": path.stem, **card["trained_range"]}
        return build({**stated, "call": RANGE}, frozenset({RANGE}))
    except (MetaoptError, TypeError) as error:
        raise MetaoptError(f"The entry 'trained_range' of the card of {path} is malformed: {error}") from error

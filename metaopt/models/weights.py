"""Trained weights: a safetensors file and a card that says what they are. Nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..building import build
from ..core import MetaoptError, Unrolled
from ..files import make_folder, replacing
from .ablation import without_estimate, without_memory
from .few_shot import first_order_maml, maml, meta_lstm, meta_sgd, prototypes
from .inference import (
    graph_network,
    learned_bp,
    mean_field_net,
    neural_enhanced_bp,
    neural_enhanced_decoder,
    weighted_bp,
)
from .irim import irim
from .learned_map import learned_map
from .learned_optimizer import learned_optimizer
from .proximal_net import proximal_net
from .rim import rim

KINDS = {
    "rim": rim,
    "irim": irim,
    "learned_map": learned_map,
    "learned_optimizer": learned_optimizer,
    "proximal_net": proximal_net,
    "maml": maml,
    "first_order_maml": first_order_maml,
    "meta_sgd": meta_sgd,
    "meta_lstm": meta_lstm,
    "prototypes": prototypes,
    "mean_field_net": mean_field_net,
    "learned_bp": learned_bp,
    "neural_enhanced_bp": neural_enhanced_bp,
    "graph_network": graph_network,
    "weighted_bp": weighted_bp,
    "neural_enhanced_decoder": neural_enhanced_decoder,
    "without_estimate": without_estimate,
    "without_memory": without_memory,
}
MODELS = ("metaopt.core", "metaopt.models", "metaopt.updates")  # what a card may call
SHIPPED = Path(__file__).parent.parent / "weights"


def shipped() -> list[str]:
    """The names of the weights that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def read_card(name: str | Path) -> dict[str, Any]:
    """The card of shipped weights, or of those in a file ``name.safetensors``: data, updates, minutes, validation."""
    path = _weight_file(name).with_suffix(".json")
    try:
        card = json.loads(path.read_text())
        if isinstance(card, dict) and isinstance(card.get("model"), dict):
            return card
    except OSError as error:
        raise MetaoptError(f"The weights need their card beside them, but {path} cannot be read: {error}.") from error
    except ValueError as error:
        raise MetaoptError(f"{path} is not the card of weights: {error}.") from error
    raise MetaoptError(f"{path} is not the card of weights: it has no entry 'model'.")


def load(name: str | Path) -> Unrolled[Any, Any, Any]:
    """A trained machine by its shipped name, or from a ``.safetensors`` file with its card.

    The card's ``kind`` says which of :mod:`metaopt.models` it is ("rim" where it says nothing), ``model`` the keywords.

    Raises:
        MetaoptError: an unknown name, a corrupt or foreign file, weights that do not fit the card's model.
    """
    path = _weight_file(name)
    tensors, _ = load_tensors(path)
    card = read_card(name)
    kind = str(card.get("kind", "rim"))
    if kind not in KINDS:
        raise MetaoptError(f"The card of {path} says kind {kind!r}; this version knows {', '.join(KINDS)}.")
    try:
        net = KINDS[kind](**build(card["model"], within=MODELS))
    except (MetaoptError, TypeError, ValueError, RuntimeError) as error:
        raise MetaoptError(
            f"The card of {path} describes another model than this version's {kind}: {error}."
        ) from error
    expected = {n: tuple(t.shape) for n, t in net.state_dict().items()}
    found = {n: tuple(t.shape) for n, t in tensors.items()}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise MetaoptError(
            f"{path} holds weights of another model: {wrong[0]} should be {expected.get(wrong[0], 'absent')} "
            f"but is {found.get(wrong[0], 'absent')} ({len(wrong)} differ in all)."
        )
    if not all(bool(torch.isfinite(t).all()) for t in tensors.values()):
        raise MetaoptError(f"{path} holds weights that are NaN or infinite; it is damaged, fetch it again.")
    net.load_state_dict(tensors)
    return net.eval().requires_grad_(False)


def read_weights(name: str | Path) -> dict[str, Tensor]:
    """The tensors of shipped weights by name, or of a ``.safetensors`` file."""
    return load_tensors(_weight_file(name))[0]


def _weight_file(name: str | Path) -> Path:
    path = Path(name)
    if path.suffix == ".safetensors":
        return path
    path = SHIPPED / f"{name}.safetensors"
    if str(name) not in shipped():
        raise MetaoptError(
            f"There are no shipped weights {str(name)!r}; there are {', '.join(shipped()) or 'none'}. For weights of "
            "your own give the path of their .safetensors file."
        )
    return path


def save_tensors(path: Path, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write ``tensors`` and ``card`` (JSON) to ``path``, atomically."""
    make_folder(path.parent)
    data = save({n: t.detach().contiguous() for n, t in tensors.items()}, {"card": json.dumps(card)})
    with replacing(path) as file:
        file.write(data)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get("card", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118
    except FileNotFoundError as error:
        raise MetaoptError(f"There is no weight file {path}.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise MetaoptError(
            f"{path} is not a readable safetensors file ({error}); it may be cut off or of another kind. "
            "Pickled files (.pt, .pth) are never read; convert them with safetensors.torch.save_file."
        ) from error

"""Store tensors in safetensors files with a digest; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..arguments.contracts import checked
from ..core import MetaoptError
from ..files import make_folder, replacing
from ..foundation.literals import parse_json


@checked
def save_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any], keep: Path | None = None
) -> None:
    """Write tensors, a card and the digest of both to one file, atomically.

    Args:
        path: The file. Its folder is made if needed.
        tensors: A mapping from names to tensors.
        card: Metadata, which JSON can hold: finite numbers, texts, lists and mappings.
        keep: Where the file that was at ``path`` is moved. None: it is replaced.

    Raises:
        MetaoptError: The file or its folder cannot be written, or a tensor or the card cannot be stored.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        stored = {n: _stored(t) for n, t in tensors.items()}
        text = json.dumps(card, allow_nan=False)
        data = save(stored, {"card": text, "sha256": _digest(stored, text)})
    except (TypeError, ValueError, KeyError, RuntimeError, NotImplementedError, SafetensorError) as error:
        raise MetaoptError(f"The tensors or the card of {path} cannot be stored: {error}.") from error
    with replacing(path, previous=keep) as file:
        file.write(data)


@checked
def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that :func:`save_tensors` wrote.

    Args:
        path: The file.

    Returns:
        The tensors by name, and the card.

    Raises:
        MetaoptError: There is no such file, it is not a readable safetensors file, or it does not hold what was written
            to it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            noted = file.metadata() or {}
            text = noted.get("card", "{}")
            card = parse_json(text, finite=False)  # earlier versions wrote NaN and Infinity
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise MetaoptError(f"There is no weight file {path}.") from error
    except PermissionError as error:
        raise MetaoptError(f"{path} cannot be opened ({error.strerror}); check its permissions.") from error
    except Exception as error:  # a broken header can raise almost anything
        raise MetaoptError(
            f"{path} is not a readable safetensors file ({error}); it may be cut off or of another kind. "
            "Pickled files (.pt, .pth) are never read; convert them with safetensors.torch.save_file."
        ) from error
    if not isinstance(card, dict):
        raise MetaoptError(f"{path} holds a card that is {type(card).__name__}, not a mapping; it is damaged.")
    if "sha256" in noted and noted["sha256"] != _digest(tensors, text):
        raise MetaoptError(
            f"{path} is damaged: what it holds has another digest than what was written to it. Copy it again, or go "
            "back to an earlier one; if you changed its tensors yourself, leave out the metadata of the old file."
        )
    return tensors, card


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a NaN or an infinity, or None.

    Args:
        tensors: A mapping from names to tensors.

    Returns:
        The name.
    """
    return next((name for name, tensor in tensors.items() if not _is_finite(tensor)), None)


def _stored(tensor: Tensor) -> Tensor:
    """Return a copy on the CPU, because safetensors refuses tensors that share memory, without pending conjugation."""
    return tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().clone()


def _is_finite(tensor: Tensor) -> bool:
    if tensor.is_floating_point() and tensor.element_size() == 1:  # isfinite knows no 8-bit floats
        tensor = tensor.float()
    return bool(torch.isfinite(tensor).all())


def _digest(tensors: Mapping[str, Tensor], card: str) -> str:
    digest = hashlib.sha256(card.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()

"""Tensors in safetensors files. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..core import MetaoptError
from ..files import make_folder, replacing


def save_tensors(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
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

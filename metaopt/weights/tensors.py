"""Store tensors in safetensors files; nothing is ever unpickled."""

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
    """Write tensors and a card to one file, atomically.

    Args:
        path: The file. Its folder is made if needed.
        tensors: A mapping from names to tensors.
        card: Metadata, which JSON can hold.

    Raises:
        MetaoptError: The file or its folder cannot be written.
    """
    make_folder(path.parent)
    data = save({n: t.detach().contiguous() for n, t in tensors.items()}, {"card": json.dumps(card)})
    with replacing(path) as file:
        file.write(data)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that :func:`save_tensors` wrote.

    Args:
        path: The file.

    Returns:
        The tensors by name, and the card.

    Raises:
        MetaoptError: There is no such file, or it is not a readable safetensors file.
    """
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

"""Put trained weights into the package if they beat the shipped ones on the recipe's own validation.

    python -m metaopt.training.ship runs/denoise_grey

The folder is one that `metaopt train` has finished. Weights are stored in half precision where that keeps them, and as
they are where it does not. With --to they go into another folder instead of the package.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from torch import Tensor

from ..core import MetaoptError
from ..files import replacing
from ..models import load
from ..weights import read_card
from ..weights.cards import SHIPPED, load_tensors, save_tensors
from .arguments import check_path
from .recipe import loss_of, task_of, watch_of
from .validation import validation_loss


def main(arguments: list[str] | None = None) -> None:
    """Run the command line of this module.

    Args:
        arguments: The arguments. None: those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a finished training: weights.safetensors and weights.json")
    parser.add_argument("--to", type=Path, default=SHIPPED, help="where they go (default: into the package)")
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(ship(options.folder, options.to) + "\n")
    except (MetaoptError, OSError) as error:
        parser.exit(2, f"{error}\n")


def ship(folder: Path, package: Path = SHIPPED) -> str:
    """Copy the weights in ``folder`` to ``package`` if they are better than those there.

    Args:
        folder: The folder of a finished training by a recipe.
        package: Where the weights go.

    Returns:
        A sentence that says what was done.

    Raises:
        MetaoptError: The folder holds no weights with a card, or the recipe has no validation task.
    """
    check_path("folder", folder)
    folder, package = Path(folder), Path(package)
    card = read_card(folder / "weights.safetensors")
    if not isinstance(card.get("name"), str) or Path(card["name"]).name != card["name"]:
        raise MetaoptError(f"The card in {folder} has no name for a file: {card.get('name')!r:.80}.")
    half = {n: halved(t) for n, t in load_tensors(folder / "weights.safetensors")[0].items()}
    candidate, name = folder / f"{card['name']}.safetensors", card["name"]
    save_tensors(candidate, half, {})
    shutil.copy(folder / "weights.json", candidate.with_suffix(".json"))
    recipe = card.get("recipe") or {}
    if not isinstance(recipe, dict) or "validation" not in recipe:
        raise MetaoptError(f"The recipe of {name} has no validation task, so nothing says which weights are better.")
    task, batches = task_of(recipe, "validation"), watch_of(recipe).batches
    loss = loss_of(recipe)
    new = validation_loss(load(candidate), task, batches, loss)
    there = package / f"{name}.safetensors"
    old = validation_loss(load(there), task, batches, loss) if there.exists() else None
    if old is not None and old <= new:
        return f"{name}: {new:.6g} on validation, the shipped weights have {old:.6g}; nothing is changed."
    save_tensors(there, half, {})
    with replacing(there.with_suffix(".json")) as file:
        file.write(json.dumps({**card, "validation_loss": new}, indent=2).encode() + b"\n")
    return (
        f"{name}: {new:.6g} on validation, {'the first of that name' if old is None else f'before {old:.6g}'}; shipped."
    )


def halved(tensor: Tensor) -> Tensor:
    """Return a tensor in half precision, or as it is where that would lose more than rounding.

    Half precision turns 1e-8 into 0 and 1e5 into infinity. Between, what is below 6e-5 loses digits, which does not
    matter beside values a thousand times as large.

    Args:
        tensor: The tensor.

    Returns:
        The tensor in float16, or the tensor itself.
    """
    if not tensor.is_floating_point():
        return tensor
    exact, half = tensor.double(), tensor.half()
    error, size = (half.double() - exact).abs(), exact.abs()
    floor = 1e-3 * size.amax() if size.numel() else 0.0
    lost = (error > 2.0**-10 * size.clamp(min=floor)) | ((half == 0) & (exact != 0))
    return tensor if bool(lost.any()) or not bool(half.isfinite().all()) else half


if __name__ == "__main__":
    main()

"""Put trained weights into the package if they beat the shipped ones on the recipe's own validation.

    python -m metaopt.training.ship runs/denoise_grey

The folder is one that `metaopt train` has finished. Weights are stored in half precision. With --to they go into
another folder instead of the package.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from ..core import MetaoptError
from ..files import replacing
from ..models import load
from ..weights import read_card
from ..weights.cards import SHIPPED, load_tensors, save_tensors
from .loop import validation_loss
from .recipe import loss_of, task_of, watch_of


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
    except MetaoptError as error:
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
    card = read_card(folder / "weights.safetensors")
    half = {n: t.half() for n, t in load_tensors(folder / "weights.safetensors")[0].items()}
    candidate, name = folder / f"{card['name']}.safetensors", card["name"]
    save_tensors(candidate, half, {})
    shutil.copy(folder / "weights.json", candidate.with_suffix(".json"))
    recipe = card.get("recipe") or {}
    if "validation" not in recipe:
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


if __name__ == "__main__":
    main()

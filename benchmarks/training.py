"""Carries out the recipes of what benchmarks compare; weights and cards come to benchmarks/weights."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from metaopt.training import run_recipe
from metaopt.weights import load_tensors, read_card, save_tensors

from .report import need, options_parser, table

WEIGHTS = Path(__file__).parent / "weights"
QUICK_UPDATES, QUICK_BATCHES = 3, 1  # of a quick run, and batches that validate it


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in tensors.items()}


def carry_out(
    description: str | None,
    known: Iterable[str],
    recipe: Callable[[str], dict[str, Any]],
    runs: Path,
    quick: Iterable[str],
    shipped: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = halved,
    data: Callable[[str], Iterable[str]] = lambda name: (),
) -> None:
    """A command that trains the rows that it is given, by default all.

    Args:
        description: of the command.
        known: the names of the rows.
        recipe: what is carried out for a name.
        runs: a folder, in which every name has one of its own; run again after an interruption, it goes on.
        quick: what ``--quick`` trains by default, for ``QUICK_UPDATES`` updates and without keeping anything.
        shipped: the tensors that are kept of the trained ones.
        data: the folders or files below the folder of data that a name reads.
    """
    parser = options_parser(description)
    parser.add_argument("names", nargs="*", help=f"which rows (default all): {', '.join(known)}")
    parser.add_argument("--device", default="cpu", help="what torch calls it, such as cuda (default %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that draw batches ahead (default %(default)s)"
    )
    options = parser.parse_args()
    names = options.names or list(quick if options.quick else known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(known)}")
    need(options, sorted({read for name in names for read in data(name)}))
    if options.quick:
        rows = [_tried(name, recipe(name), options.device, options.workers) for name in names]
        print("\n" + table(rows) + "\n")
        print(json.dumps({f"{row['name']}_validation": row["validation"] for row in rows}), flush=True)
        return
    for name in names:
        _carry_out(recipe(name), runs / name, name, options.device, options.workers)
        tensors, _ = load_tensors(runs / name / "weights.safetensors")
        kept = shipped(tensors)
        save_tensors(WEIGHTS / f"{name}.safetensors", kept, {})
        card = {**read_card(runs / name / "weights.safetensors"), "derived": sorted(tensors.keys() - kept.keys())}
        (WEIGHTS / f"{name}.json").write_text(json.dumps(card, indent=2))


def _carry_out(recipe: Mapping[str, Any], folder: Path, name: str, device: str, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    run_recipe(path, folder, device, workers)


def _tried(name: str, recipe: dict[str, Any], device: str, workers: int) -> dict[str, Any]:
    """A few updates of a recipe in a folder that does not stay: its validation loss, and the minutes."""
    recipe["settings"] |= {"updates": QUICK_UPDATES, "rate": {**recipe["settings"]["rate"], "warmup": 1}}
    recipe["watch"] |= {"log_every": 1, "validate_every": QUICK_UPDATES, "batches": QUICK_BATCHES}
    with tempfile.TemporaryDirectory() as folder:
        _carry_out(recipe, Path(folder), name, device, workers)
        card = json.loads((Path(folder) / "weights.json").read_text())
    return {"name": name, "updates": card["updates"], "validation": card["validation_loss"], "minutes": card["minutes"]}

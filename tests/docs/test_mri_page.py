"""The page on k-space says of the shipped network what its card says, and is found from the front page."""

from __future__ import annotations

import inspect
from pathlib import Path

from metaopt.operators import gaussian_mask
from metaopt.tasks import UndersampledMri
from metaopt.weights import read_card

DOCS = Path(__file__).parents[2] / "docs"
PAGE = " ".join((DOCS / "examples" / "plot_13_mri.py").read_text().replace("\n#", "\n").split())


def test_what_the_network_was_trained_on_is_what_its_card_and_recipe_say() -> None:
    card = read_card("mri")
    low, high = card["trained_range"]["noise"]
    task = card["recipe"]["task"]
    defaults = {name: entry.default for name, entry in inspect.signature(UndersampledMri).parameters.items()}
    assert task.get("coils", defaults["coils"]) == 1 and "**one coil**" in PAGE
    assert task.get("mask", defaults["mask"]) is gaussian_mask and "2-D Gaussian density" in PAGE
    first, last = task.get("accelerations", defaults["accelerations"])
    assert f"accelerations of {first:g} to {last:g}, noise of {low:g} to {high:g}" in PAGE
    assert card["trained_range"]["intensity"][1] == 1 and "magnitudes go to 1" in PAGE
    assert f"trained to take {card['model']['steps']} steps" in PAGE


def test_every_example_is_linked_from_the_front_page() -> None:
    front = (DOCS / "index.rst").read_text()
    missing = [path.stem for path in (DOCS / "examples").glob("plot_*.py") if f"gallery/{path.stem}>" not in front]
    assert not missing

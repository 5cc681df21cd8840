"""The page on k-space says of the shipped network what its card says, and is found from the front page."""

from __future__ import annotations

import inspect
from pathlib import Path

from metaopt.tasks import UndersampledMri
from metaopt.weights import read_card

DOCS = Path(__file__).parents[2] / "docs"
PAGE = " ".join((DOCS / "examples" / "plot_13_mri.py").read_text().replace("\n#", "\n").split())


def test_what_the_network_was_trained_on_is_what_its_card_and_recipe_say() -> None:
    card = read_card("mri")
    trained, tasks = card["trained_range"], card["recipe"]["task"]["tasks"]
    coils = [number for task in tasks for number in task["coils"]]
    assert (min(coils), max(coils)) == (1, 8) and "one to eight coils" in PAGE
    masks = {task["mask"]["take"].rpartition(".")[2] for task in tasks}
    assert masks == {"gaussian_mask", "gaussian_columns_mask", "equispaced_mask"} and "of points and of lines" in PAGE
    first, last = inspect.signature(UndersampledMri).parameters["accelerations"].default
    assert not any("accelerations" in task for task in tasks) and trained["acceleration"] == [first, last]
    (low, high), whole = trained["noise"], " ".join(PAGE.replace("#", " ").split())
    assert f"accelerations of {first:g} to {last:g}, noise of {low:g} to {high:g}" in whole
    assert trained["intensity"][1] == 1 and "magnitudes go to 1" in PAGE
    assert f"trained to take {card['trained_steps']} steps" in PAGE


def test_every_example_is_linked_from_the_front_page() -> None:
    front = (DOCS / "index.rst").read_text()
    missing = [path.stem for path in (DOCS / "examples").glob("plot_*.py") if f"gallery/{path.stem}>" not in front]
    assert not missing

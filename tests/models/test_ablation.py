"""Ablated networks are made of whole ones, and their weights load by the card's nested calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import metaopt as mo
from metaopt.models import irim, load, rim, untie, without_estimate, without_memory
from metaopt.weights import save_tensors

from ..cases.problems import picture_problem
from ..helpers import seeded

ABLATIONS = {"without_estimate": without_estimate, "without_memory": without_memory}


@pytest.mark.parametrize("ablate", ABLATIONS.values(), ids=ABLATIONS)
def test_the_first_step_lacks_only_what_was_taken(ablate: Any) -> None:
    """Memory is empty at the first step in any case; the estimate is not."""
    whole, problem = seeded(lambda: rim(hidden=4, steps=3)), picture_problem(0, 6, 7)
    ablated = ablate(whole)
    same = [torch.equal(a, b) for a, b in zip(whole(problem).outputs, ablated(problem).outputs, strict=True)]
    assert same == [ablate is without_memory, False, False]
    assert ablated.gradient == whole.gradient
    assert all(p.requires_grad for p in ablated.parameters())


@pytest.mark.parametrize("kind", ABLATIONS)
def test_a_card_with_nested_calls_loads(kind: str, tmp_path: Path) -> None:
    model = {"hidden": 3, "steps": 2}
    net = ABLATIONS[kind](seeded(lambda: rim(**model))).float()
    save_tensors(tmp_path / "a.safetensors", net.state_dict(), {})
    card = {"kind": kind, "model": {"net": {"call": "metaopt.models.rim", **model}}}
    (tmp_path / "a.json").write_text(json.dumps(card))
    problem = mo.InverseProblem(mo.operators.Identity(), torch.rand(1, 1, 5, 7), 0.1)
    assert torch.equal(load(tmp_path / "a.safetensors")(problem).final, net(problem).final)


def test_a_card_calls_what_models_are_made_of_only(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {})
    card = {"kind": "without_memory", "model": {"net": {"call": "metaopt.training.find_recipe", "name": "mri"}}}
    (tmp_path / "a.json").write_text(json.dumps(card))
    with pytest.raises(mo.MetaoptError, match=r"'metaopt\.training\.find_recipe' is not among the public names"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("net", [irim(hidden=2, steps=2), untie(rim(hidden=2, steps=2))], ids=["coupled", "untied"])
def test_what_has_no_single_update_is_refused(net: Any) -> None:
    with pytest.raises(mo.MetaoptError, match="only from a Descent with one update for all steps"):
        without_memory(net)

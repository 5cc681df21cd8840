"""Weights are shipped where they are better, whole, and as trained up to half precision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from metaopt.core import MetaoptError
from metaopt.models import load
from metaopt.training import run_recipe
from metaopt.training.ship import halved, main, ship
from metaopt.weights import load_tensors, read_card, save_tensors

from . import tiny


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    recipe["settings"]["updates"] = 1
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    run_recipe(tmp_path / "r.yaml", tmp_path / "run")
    return tmp_path / "run"


def test_better_weights_take_the_place_of_worse_ones_and_worse_ones_do_not(finished: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    assert "the first of that name; shipped." in ship(finished, package)
    trained, shipped = load(finished / "weights.safetensors"), load(package / "r.safetensors")
    for name, tensor in trained.state_dict().items():
        torch.testing.assert_close(shipped.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)
    assert read_card(package / "r.safetensors")["updates"] == 1
    before, _ = load_tensors(package / "r.safetensors")
    assert "nothing is changed" in ship(finished, package), "equal is not better"
    tensors, _ = load_tensors(package / "r.safetensors")
    save_tensors(package / "r.safetensors", {n: t + 1 for n, t in tensors.items()}, {})
    assert "shipped." in ship(finished, package)
    after, _ = load_tensors(package / "r.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_an_unfinished_training_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tensors(tmp_path / "weights.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path)])
    assert stop.value.code == 2
    assert "need their card beside them" in capsys.readouterr().err


def test_weights_of_a_recipe_without_validation_cannot_be_compared(finished: Path, tmp_path: Path) -> None:
    card = finished / "weights.json"
    recipe = {key: value for key, value in read_card(finished / "weights.safetensors").items() if key != "recipe"}
    card.write_text(json.dumps(recipe | {"recipe": {}}))
    with pytest.raises(MetaoptError, match="r has no validation task"):
        ship(finished, tmp_path)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([1e-8], False),
        ([1e-8, 1.0], False),
        ([1e5], False),
        ([3e-6, 5e-6], False),
        ([0.1, 2e-5, 0.0], True),
        ([0.0], True),
        ([], True),
        ([1.0, -0.3333], True),
    ],
)
def test_half_precision_is_for_what_it_holds(values: list[float], kept: bool) -> None:
    tensor = torch.tensor(values)
    got = halved(tensor)
    assert got.dtype == (torch.float16 if kept else torch.float32)
    assert torch.equal(got == 0, tensor == 0)
    scale = float(tensor.abs().max()) if values else 0.0
    torch.testing.assert_close(got.float(), tensor, rtol=2**-10, atol=1e-6 * scale)


def test_whole_numbers_and_complex_ones_are_stored_as_they_are() -> None:
    for tensor in (torch.tensor([2**40]), torch.tensor([1j])):
        assert halved(tensor) is tensor

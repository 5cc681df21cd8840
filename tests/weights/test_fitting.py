"""Weights of another precision, cards that build nothing useful, and weights for something else are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from metaopt.core import MetaoptError
from metaopt.models import load, rim
from metaopt.weights import check_task, read_card, shipped, tasks_of

from ..training import tiny


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bfloat16, torch.float8_e4m3fn, torch.bool])
def test_tensors_of_another_kind_than_the_networks_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tiny.write_weights(tmp_path)
    state = load(path).state_dict()
    save_file({name: t.to(dtype) for name, t in state.items()}, path)
    with pytest.raises(MetaoptError, match=rf"tiny.safetensors holds .* as {dtype}, but the network computes in"):
        load(path)


def test_half_precision_is_a_way_to_store_weights(tmp_path: Path) -> None:
    path = tiny.write_weights(tmp_path)
    state = load(path).state_dict()
    save_file({name: t.half() for name, t in state.items()}, path)
    for name, tensor in load(path).state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, state[name].half().float())


def changed(folder: Path, **entries: Any) -> Path:
    path = tiny.write_weights(folder)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | entries))
    return path


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (
            {"model": {"hidden": 4, "kernels": [3], "stride": 2, "steps": 0}},
            "steps=0, but a network takes at least one",
        ),
        ({"trained_range": 3}, "'trained_range' of the card of .* is malformed"),
        ({"trained_range": {"noise": [0.1, 0.2]}}, "'trained_range' of the card of .* is malformed: .*intensity"),
        ({"trained_range": {"intensity": [0, 1], "noise": [0.2, 0.1]}}, "the smaller first"),
    ],
)
def test_a_card_that_says_nothing_useful_is_refused(tmp_path: Path, entries: dict[str, Any], words: str) -> None:
    with pytest.raises(MetaoptError, match=words):
        load(changed(tmp_path, **entries))


def test_a_folder_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(MetaoptError, match=r"is a folder; give the path of the \.safetensors file in it"):
        load(tmp_path)


def test_all_shipped_cards_say_what_they_are_for_and_those_of_pictures_their_range() -> None:
    for name in shipped():
        card = read_card(name)
        assert tasks_of(card) == card["tasks"]
        if card["call"]["call"] in ("metaopt.models.rim", "metaopt.models.learned_map"):
            assert set(card["trained_range"]) >= {"intensity", "noise", "units"}


def test_what_weights_are_for_is_read_from_their_recipe(tmp_path: Path) -> None:
    tasks = [{"call": f"metaopt.tasks.{name}"} for name in ("Inpainting", "SuperResolution")]
    path = changed(tmp_path, recipe={"task": {"call": "metaopt.tasks.Mixture", "tasks": tasks}})
    check_task(path, "upscale")
    with pytest.raises(MetaoptError, match=r"trained to inpaint and upscale, not to denoise; .* denoise_grey, learned"):
        check_task(path, "denoise")
    check_task(tiny.write_weights(tmp_path), "denoise")
    with pytest.raises(MetaoptError, match="'tasks' of a card is a list"):
        tasks_of({"tasks": "denoise"})
    assert rim(steps=1).algorithm.trained_range is None

"""Weights of another precision, cards that build nothing useful, and weights for something else are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from metaopt.core import MetaoptError
from metaopt.models import load, rim, save
from metaopt.weights import check_task, read_card, shipped, tasks_of

from ..training import tiny

EMBEDDING = "algorithm.update.module.embed.weight"


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
        (
            {"model": {"hidden": 4, "kernels": [3], "stride": 2, "steps": 10**9}},
            "steps=1000000000, but a network takes 100000 at most",
        ),
        ({"tasks": "denoise"}, r"'tasks' of the card .*tiny\.json is a list such as \['denoise'\], not 'denoise'"),
        ({"tasks": []}, r"'tasks' of the card .* is a list such as"),
        ({"tasks": ["denoise", 1]}, "'tasks' of the card .* is a list such as"),
        ({"derived": [3]}, r"'derived' of the card .* is a list of names, not \[3\]"),
        ({"dtypes": []}, r"'dtypes' of the card .* is a mapping from names to precisions, not \[\]"),
        ({"dtypes": {"algorithm.update.module.embed.bias": "float64"}}, "but layers compute in one precision"),
        ({"trained_range": 3}, "'trained_range' of the card .* is a mapping with intensity and noise, not 3"),
        ({"trained_range": {"noise": [0.1, 0.2]}}, "'trained_range' of the card of .* is malformed: .*intensity"),
        ({"trained_range": {"intensity": [0, 1], "noise": [0.2, 0.1]}}, "the smaller first"),
    ],
)
def test_a_card_that_says_nothing_useful_is_refused(tmp_path: Path, entries: dict[str, Any], words: str) -> None:
    with pytest.raises(MetaoptError, match=words):
        load(changed(tmp_path, **entries))


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_weights_that_the_precision_of_the_network_makes_infinite_or_zero_are_refused(
    tmp_path: Path, scale: float
) -> None:
    path = tiny.write_weights(tmp_path)
    state = {name: t.double() for name, t in load(path).state_dict().items()}
    save_file(state, path)
    assert torch.equal(load(path).state_dict()[EMBEDDING], state[EMBEDDING].float())
    save_file({**state, EMBEDDING: scale * state[EMBEDDING]}, path)
    with pytest.raises(MetaoptError, match=r"embed\.weight with values up to .* torch\.float32, .* does not hold"):
        load(path)


def test_parameters_are_never_derived_and_tensors_that_no_call_names_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, derived=[EMBEDDING])
    state = load(path).state_dict()
    save_file({name: t for name, t in state.items() if name != EMBEDDING}, path)
    with pytest.raises(MetaoptError, match=r"embed\.weight should be .* but is absent"):
        load(path)
    save_file({**state, "call/dictionary": torch.ones(2, 2)}, path)
    with pytest.raises(MetaoptError, match="holds call/dictionary, which its card does not use"):
        load(path)


def test_a_card_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    net = load(tiny.write_weights(tmp_path))
    for entries in ({"tasks": "denoise"}, {"dtypes": 3}, {"derived": "x"}):
        with pytest.raises(MetaoptError, match="of a card is a"):
            save(net, tmp_path / "other.safetensors", entries)
    assert not (tmp_path / "other.json").exists()


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

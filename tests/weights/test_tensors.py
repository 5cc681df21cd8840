"""What is saved with tensors is read back as it was, or not saved at all."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import metaopt as mo
from metaopt.weights import load_tensors, save_tensors


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: [1, (n,)], lambda n: {"a": {"b": n}}])
def test_cards_with_numbers_that_json_lacks_are_refused_and_leave_the_file_of_before(
    tmp_path: Path, number: float, wrap: Any
) -> None:
    path, tensors = tmp_path / "a.safetensors", {"a": torch.ones(1)}
    save_tensors(path, tensors, {"figure": 1e-300})
    with pytest.raises(mo.MetaoptError, match=r"card of .*a\.safetensors cannot be stored: .*not JSON compliant"):
        save_tensors(path, tensors, {"figure": wrap(number)})
    assert load_tensors(path)[1] == {"figure": 1e-300}
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_cards_of_earlier_versions_may_hold_such_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(1)}, path, {"card": json.dumps({"bounds": [-math.inf, math.inf], "loss": math.nan})})
    card = load_tensors(path)[1]
    assert card["bounds"] == [-math.inf, math.inf] and math.isnan(card["loss"])


def test_a_card_that_holds_itself_is_refused(tmp_path: Path) -> None:
    card: dict[str, Any] = {}
    card["card"] = card
    with pytest.raises(mo.MetaoptError, match="cannot be stored: Circular"):
        save_tensors(tmp_path / "a.safetensors", {}, card)
    for _ in range(100_000):
        card = {"deeper": card}
    with pytest.raises(mo.MetaoptError, match="cannot be stored"):
        save_tensors(tmp_path / "a.safetensors", {}, card)

"""Calls by public names: what is on the list is built as it is described, and nothing else is ever called."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
from typing import Any

import pytest
import torch

import metaopt as mo
from metaopt.records import record_of
from metaopt.weights.calls import MODEL_CALLS, RENAMED, build

from ..helpers import seeded


def test_a_name_is_taken_as_it_is() -> None:
    frozen = {"take": "metaopt.networks.Frozen"}
    network = build({"call": "metaopt.networks.few_shot_network", "outputs": 3, "normalization": frozen})
    assert isinstance(network[1], mo.networks.Frozen)


def test_nested_entries_are_built_with_their_keywords() -> None:
    gradient = {"call": "metaopt.core.gradients.Truncated", "last": 2}
    assert build({"a": [gradient, "metaopt.Truncated"]}) == {"a": [mo.Truncated(2), "metaopt.Truncated"]}


@pytest.mark.parametrize("name", sorted(MODEL_CALLS))
def test_every_name_of_the_list_is_public_and_callable(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    owner = importlib.import_module(module)
    assert callable(getattr(owner, attribute))
    assert attribute in getattr(owner, "__all__", (attribute,))


def test_every_public_model_may_be_called_by_a_card() -> None:
    """But those that only read or write files, and those whose arguments no card can say."""
    others = {"AirwayNetwork", "EdgeNetwork", "GraphNetwork", "Prototypes", "load", "save", "many_starts"}
    public = set(mo.models.__all__) - others
    assert {f"metaopt.models.{name}" for name in public} <= MODEL_CALLS
    assert all("__wrapped__" in vars(getattr(mo.models, name)) for name in public), "a constructor that records nothing"


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_names_of_earlier_versions_are_known(old: str, new: str) -> None:
    module, _, attribute = new.rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute))
    assert old not in MODEL_CALLS


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("os.system", "'os.system' is not among"),
        ("system", "'system' is not among"),
        ("metaopt.weights.save", "nothing there may be called"),
        ("metaopt.models.load", r"of metaopt\.models these may be called: .*alista, .*rim"),
        ("metaopt.models.rimm", "these may be called: .*rim"),
        ("metaopt.models", "is not among"),
        ("metaopt..models.rim", "is not among"),
        (5, "'5' is not among"),
    ],
)
def test_a_name_that_is_not_on_the_list_is_refused(name: Any, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        build({"call": name, "command": "true"})


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"call": "metaopt.models.rim", "hiden": 3}, r"metaopt\.models\.rim: .*'hiden'; it takes channels, hidden"),
        ({"call": "metaopt.Truncated"}, r"metaopt\.Truncated: missing .*'last'; it takes last"),
        ({"call": "metaopt.models.rim", "hidden": "many"}, r"metaopt\.models\.rim cannot be made of what is said"),
        ({"call": "metaopt.models.lista", "dictionary": {"tensor": "dictionary"}}, "no tensor 'dictionary'"),
    ],
)
def test_wrong_keywords_are_named(node: dict[str, Any], words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        build(node)


def test_a_network_remembers_its_call_through_copies_and_pickle() -> None:
    net = mo.models.rim(hidden=3, kernels=(3, 1), steps=2)
    expected = {"call": "metaopt.models.rim", "hidden": 3, "kernels": [3, 1], "steps": 2}
    for copied in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.double()):
        assert record_of(copied) | expected == record_of(copied)


def test_recording_keeps_signature_and_docstring() -> None:
    assert list(inspect.signature(mo.models.rim).parameters)[:2] == ["channels", "hidden"]
    assert "Recurrent Inference Machine" in (mo.models.rim.__doc__ or "")
    assert "channels" in inspect.signature(mo.updates.ConvGru).parameters


def test_a_subclass_is_not_taken_for_what_it_inherits_from() -> None:
    class Doubled(mo.updates.Sgd):
        def forward(self, *arguments: Any) -> Any:
            change, memory = super().forward(*arguments)
            return 2 * change, memory

    with pytest.raises(mo.MetaoptError, match="No public constructor of metaopt made this Doubled"):
        record_of(Doubled(0.1))
    with pytest.raises(mo.MetaoptError, match=r"metaopt\.models\.learned_optimizer, update was given .*Doubled"):
        record_of(mo.models.learned_optimizer(Doubled(0.1)))


def test_openings_of_slots_are_written_down() -> None:
    update = mo.updates.LearnedAdam(step_size=mo.shared(0.08, positive=True))
    again = build(record_of(update))
    assert torch.equal(again.step_size(0), update.step_size(0))
    assert seeded(lambda: again).step_size.raw.requires_grad
    steps = build(record_of(mo.updates.Sgd(mo.per_step(3, [0.1, 0.2, 0.3]))))
    assert [round(float(steps.step_size(k).detach()), 6) for k in range(3)] == [0.1, 0.2, 0.3]

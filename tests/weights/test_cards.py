"""Weight files: what was saved is loaded, and what is damaged or foreign is refused, never unpickled."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import metaopt as mo
from metaopt.models import load, rim, save
from metaopt.weights import read_card, save_tensors, shipped

from ..helpers import seeded

MODEL = {"hidden": 3, "kernels": [3, 1], "stride": 2, "steps": 2}


def saved(folder: Path, model: dict[str, Any] = MODEL) -> Path:
    net = seeded(lambda: rim(**model)).float()
    save_tensors(folder / "net.safetensors", net.state_dict(), {})
    (folder / "net.json").write_text(json.dumps({"model": model, "trained_steps": 2}))
    return folder / "net.safetensors"


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    net, original = load(saved(tmp_path)), seeded(lambda: rim(**MODEL)).float()
    problem = mo.InverseProblem(mo.operators.Identity(), torch.rand(1, 1, 5, 7), 0.1)
    assert torch.equal(net(problem).final, original(problem).final)
    assert net.steps == 2
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    assert read_card(tmp_path / "net.safetensors")["trained_steps"] == 2


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickled_file_is_refused_and_never_run(tmp_path: Path, how: str) -> None:
    path, mark = saved(tmp_path), tmp_path / "it ran"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"weight": Bomb(mark)}))
    else:
        torch.save({"weight": Bomb(mark)}, path)
    with pytest.raises(mo.MetaoptError, match=r"net\.safetensors is not a readable .* never read; convert them"):
        load(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists(), "the bomb is a dud, so the test shows nothing"


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def _huge_header(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")


def _nan(path: Path) -> None:
    state = seeded(lambda: rim(**MODEL)).float().state_dict()
    next(iter(state.values()))[0] = torch.nan
    save_file(state, path)


def _rename(path: Path) -> None:
    state = seeded(lambda: rim(**MODEL)).float().state_dict()
    save_file({f"module.{name}": t for name, t in state.items()}, path)


def _resize(path: Path) -> None:
    save_file(seeded(lambda: rim(**{**MODEL, "hidden": 4})).float().state_dict(), path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "not a readable safetensors file"),
        (_grow, "not a readable safetensors file"),
        (_huge_header, "not a readable safetensors file"),
        (lambda path: path.write_bytes(b""), "not a readable safetensors file"),
        (lambda path: path.write_text("{}"), "not a readable safetensors file"),
        (lambda path: path.unlink(), r"There is no weight file .*net\.safetensors"),
        (_nan, "NaN or infinite; they are damaged"),
        (_rename, r"weights of another network: .* should be .* but is absent"),
        (_resize, r"weights of another network: .* should be \(.*3.*\) but is \(.*4.*\)"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path, damage: Any, words: str) -> None:
    path = saved(tmp_path)
    damage(path)
    with pytest.raises(mo.MetaoptError, match=words):
        load(path)


def test_a_folder_is_no_weight_file(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").mkdir()
    with pytest.raises(mo.MetaoptError, match="not a readable safetensors file"):
        load(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (None, "need their card beside them"),
        ("{", "not the card of weights"),
        ("[" * 100_000, "not the card of weights"),
        ("[]", "entry 'call' must say"),
        ('{"model": 5}', "entry 'call' must say"),
        (
            '{"model": {}, "kind": "unet"}',
            r"no network of this version \(metaopt\.models\.unet\).* may be called: .*alista, .*rim",
        ),
        ('{"model": {"layers": 9}}', "no network of this version"),
        ('{"model": {"hidden": "many"}}', "no network of this version"),
        ('{"model": {"hidden": -3}}', "no network of this version"),
        ('{"model": {"dims": 7}}', r"no network of this version.*1, 2 or 3 dims"),
        ('{"model": {"hidden": 3}}', "weights of another network"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, card: str | None, words: str) -> None:
    path = saved(tmp_path)
    path.with_suffix(".json").unlink()
    if card is not None:
        path.with_suffix(".json").write_text(card)
    with pytest.raises(mo.MetaoptError, match=words):
        load(path)


@pytest.mark.parametrize("name", ["nothing", "weights.pt", "", "../weights/denoise_grey"])
def test_an_unknown_name_lists_those_there_are(name: str) -> None:
    with pytest.raises(mo.MetaoptError, match=r"no shipped weights .* give the path of their .safetensors file"):
        load(name)


@pytest.mark.parametrize("name", shipped())
def test_shipped_weights_load_and_their_card_says_how_they_were_made(name: str) -> None:
    card, net = read_card(name), load(name)
    assert card["name"] == name
    assert card["trained_steps"] == net.steps
    assert sum(p.numel() for p in net.parameters()) == card["parameters"]


def random_networks() -> dict[str, Any]:
    """One network of each kind of argument that a card must say: numbers, modules, tensors, classes, networks."""
    dictionary = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    update = mo.updates.LearnedAdam(mo.networks.Perceptron(2, 4), decays=[0.9], step_size=mo.shared(0.08))
    return {
        "numbers": mo.models.rim(hidden=3, kernels=(3, 1), stride=2, steps=2),
        "a strategy": mo.models.rim(hidden=3, gradient=mo.Checkpointed(2)),
        "a module": mo.models.learned_optimizer(update, 5),
        "a tensor": mo.models.lista(dictionary, 0.2, steps=3),
        "a tensor in float64": mo.models.na_alista(dictionary.double(), 0.2, steps=3, hidden=4),
        "a class": mo.models.maml(mo.networks.few_shot_network(3, normalization=mo.networks.PerStep)),
        "a loss of torch": mo.models.maml(mo.networks.few_shot_network(3), loss=F.mse_loss),
        "the default, said": mo.models.maml(mo.networks.few_shot_network(3), loss=F.cross_entropy),
        "a network": mo.models.without_memory(mo.models.rim(hidden=3)),
        "one network a step": mo.models.untie(mo.models.rim(hidden=3, steps=2)),
    }


@pytest.mark.parametrize("name", random_networks())
def test_what_a_public_constructor_made_is_saved_and_loaded(tmp_path: Path, name: str) -> None:
    net = seeded(lambda: random_networks()[name])
    net = net if name.endswith("float64") else net.float()
    for parameter in net.parameters():  # as if trained
        torch.nn.init.normal_(parameter)
    save(net, tmp_path / "sub" / "net.safetensors", {"data": "generated"})
    again = load(tmp_path / "sub" / "net.safetensors")
    state, found = net.state_dict(), again.state_dict()
    assert state.keys() == found.keys()
    assert all(torch.equal(found[n], t) and found[n].dtype == t.dtype for n, t in state.items())
    assert again.steps == net.steps
    assert read_card(tmp_path / "sub" / "net.safetensors")["data"] == "generated"


def test_a_network_that_nothing_public_made_is_not_saved(tmp_path: Path) -> None:
    net = mo.unroll(mo.Descent(mo.updates.Sgd(mo.shared(0.1))), 3)
    with pytest.raises(mo.MetaoptError, match=r"No public constructor of metaopt made this Unrolled.*state_dict"):
        save(net, tmp_path / "net.safetensors")
    mine = mo.models.maml(torch.nn.Linear(2, 2))
    with pytest.raises(mo.MetaoptError, match=r"metaopt\.models\.maml, network was given Linear"):
        save(mine, tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_network_that_was_changed_since_is_not_saved(tmp_path: Path) -> None:
    net = mo.models.rim(hidden=3)
    net.algorithm = mo.parameterize(net.algorithm, {"update": mo.per_step(2)})
    with pytest.raises(mo.MetaoptError, match=r"changed after metaopt\.models\.rim made it"):
        save(net, tmp_path / "net.safetensors")
    other = mo.models.learned_optimizer(mo.updates.CoordinatewiseLstm(3))
    other.algorithm.update(0).preprocessing = 5.0
    with pytest.raises(mo.MetaoptError, match=r"changed after metaopt\.models\.learned_optimizer made it"):
        save(other, tmp_path / "net.safetensors")


def test_a_network_that_was_compiled_meanwhile_is_saved(tmp_path: Path) -> None:
    """torch.compile leaves a mark on what it is given."""
    net = mo.models.rim(hidden=3)
    torch.compile(net)
    assert load(save(net, tmp_path / "net.safetensors")).steps == net.steps


@pytest.mark.parametrize("name", [5, None, b"mri"])
def test_weights_go_by_a_name_or_a_path(name: Any) -> None:
    with pytest.raises(mo.MetaoptError, match="load needs name to be a text or a Path, but got"):
        load(name)


def test_weights_that_are_not_finite_or_cards_that_are_not_json_are_not_saved(tmp_path: Path) -> None:
    net = mo.models.rim(hidden=3)
    for entry in (object(), float("nan")):
        with pytest.raises(mo.MetaoptError, match="which JSON knows"):
            save(net, tmp_path / "net.safetensors", {"task": entry})
    with pytest.raises(mo.MetaoptError, match=r"save needs net to be a torch\.nn\.Module, but got 3"):
        save(3, tmp_path / "net.safetensors")  # type: ignore[arg-type]
    next(net.parameters()).data.fill_(torch.nan)
    with pytest.raises(mo.MetaoptError, match="NaN or infinite"):
        save(net, tmp_path / "net.safetensors")
    with pytest.raises(mo.MetaoptError, match=r"in a file NAME\.safetensors, not in"):
        save(net, tmp_path / "net.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "call",
    [
        {"call": "metaopt.models.rim", "hidden": 40_000},
        {"call": "metaopt.models.rim", "hidden": 10**12},
        {"call": "metaopt.models.lista", "matrix": {"tensor": ["x"]}},
        {"call": "metaopt.models.lista", "matrix": {"tensor": {}}},
        {"call": ["metaopt.models.rim"]},
        {"call": "metaopt.core.shared", "value": 1},
        {"call": "metaopt.updates.Adam"},
        {"call": "metaopt.models.rim", "hidden": {"call": "torch.load", "f": "x"}},
        {"call": "metaopt.core.per_step", "steps": 10**10, "value": {"call": "metaopt.updates.Adam"}},
    ],
)
def test_a_card_that_asks_for_more_than_its_weights_hold_is_refused_before_memory_is_taken(
    tmp_path: Path, call: Any
) -> None:
    path = saved(tmp_path)
    path.with_suffix(".json").write_text(json.dumps({"call": call}))
    with pytest.raises(mo.MetaoptError):
        load(path)


@pytest.mark.parametrize(
    "entry", [{"dtypes": []}, {"derived": {"a": 1}}, {"dtypes": {"x": "float32"}}, {"dtypes": {"": "os"}}]
)
def test_a_card_whose_entries_are_of_another_kind_is_refused(tmp_path: Path, entry: Any) -> None:
    path = saved(tmp_path)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | entry))
    with pytest.raises(mo.MetaoptError, match="card"):
        load(path)


def test_a_card_does_not_turn_weights_into_whole_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path)
    card, name = json.loads(path.with_suffix(".json").read_text()), next(iter(load_file(path)))
    path.with_suffix(".json").write_text(json.dumps(card | {"dtypes": {name: "int8"}}))
    with pytest.raises(mo.MetaoptError, match="does not fit its network"):
        load(path)

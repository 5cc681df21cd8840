"""Recipes: what they say is built, what is wrong in them is named, and one leads to weights that load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import metaopt as mo
from metaopt.core.gradients import Reversible, Truncated
from metaopt.losses import LOSSES, negative_psnr
from metaopt.models import load
from metaopt.training import Settings, Watch, find_recipe, read_recipe, run_recipe, train
from metaopt.training.loop import batch_seed
from metaopt.training.recipe import KEYS, LOSS_CALLS, TASK_CALLS, TRAINING_CALLS, settings_of, task_of, watch_of
from metaopt.training.start import start_from
from metaopt.weights import build, read_card
from metaopt.weights.building import Bounded, memory
from metaopt.weights.calls import MODEL_CALLS, _resolve

from . import tiny

SHIPPED = [
    "denoise_color",
    "denoise_grey",
    "learned_map",
    "mri",
    "radio",
    "radio_clean",
    "random_projections",
    "restore_grey",
]
AIRWAYS = ["airway", "airway_edge", "airway_gnn", "airway_lbp", "airway_mfn", "airway_mfn3"]
OPTIMIZERS = ["optimizer_digits", "optimizer_quadratics"]
COMPARED = sorted((Path(__file__).parents[2] / "benchmarks" / "recipes").glob("*.yaml"))  # by benchmarks


def test_the_shipped_recipes_are_all_known() -> None:
    assert sorted(p.stem for p in find_recipe("mri").parent.glob("*.yaml")) == sorted(SHIPPED + AIRWAYS + OPTIMIZERS)


def without_data(node: Any) -> Any:
    """The same recipe with noise in the place of the pictures that it reads."""
    if isinstance(node, list):
        return [without_data(item) for item in node]
    if not isinstance(node, dict):
        return node
    if str(node.get("call")).startswith("metaopt.data."):
        channels = 1 if node.get("grey", True) else 3
        return [torch.randint(0, 256, (channels, 130, 140), generator=torch.Generator().manual_seed(0)).byte()]
    stations = {"arrays": ["random", "atca"]} if "arrays" in node or "oversampling" in node else {}
    return {key: without_data(value) for key, value in node.items()} | stations


@pytest.mark.parametrize("name", [*SHIPPED, *map(str, COMPARED)])
def test_a_recipe_of_ours_is_whole(name: str) -> None:
    """Model and task fit each other, and the data that it names are calls that there are."""
    recipe = read_recipe(find_recipe(name))
    assert set(recipe) <= set(KEYS)
    settings = settings_of(recipe)
    assert isinstance(settings, Settings)
    assert isinstance(watch_of(recipe), Watch)
    net = build(recipe["model"])
    assert settings.steps[0] <= net.steps <= settings.steps[1], "it is trained for the steps that it says"
    assert net.gradient in (Truncated(settings.steps[0]), mo.Backprop(), Reversible())
    for kind in ("task", "validation"):
        for task in recipe[kind].get("tasks", [recipe[kind]]):
            small = without_data(task)
            small["patches" if "patches" in small else "skies"] |= {"batch": 1, "size": 32}
            problem, target = build(small, TASK_CALLS).sample(0)
            assert net(problem, steps=1).final.shape == target.shape
        assert build(without_data(recipe[kind]), TASK_CALLS).sample(0)[1].shape[-1] >= 30


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_recipe_of_an_optimizer_is_whole(name: str) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn brings the digits")
    recipe = read_recipe(find_recipe(name))
    settings = settings_of(recipe)
    net, loss = build(recipe["model"]), LOSSES[recipe["loss"]]
    assert settings.steps == [getattr(net.gradient, "last", net.steps), net.steps]
    for kind in ("task", "validation"):
        problem, target = task_of(recipe, kind).sample(0)
        with torch.no_grad():
            before, after = (float(loss(net, net(problem, steps=steps), problem, target)) for steps in (0, 3))
        assert after < before


@pytest.mark.parametrize(
    ("entry", "call", "words"),
    [
        ("model", "metaopt.tasks.mlp", r"'metaopt\.tasks\.mlp' is not among"),
        ("task", "metaopt.data.write_image", r"'metaopt\.data\.write_image' is not among .* read_image"),
        ("task", "metaopt.training.run_recipe", "not among the public names that may be called here; nothing there"),
        ("validation", "metaopt.models.load", "is not among"),
    ],
)
def test_each_entry_calls_only_what_it_is_for(tmp_path: Path, entry: str, call: str, words: str) -> None:
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    recipe[entry] = {"call": call, "path": str(tmp_path / "written")}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(mo.MetaoptError, match=words):
        run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    assert not (tmp_path / "written").exists()


def test_every_name_that_a_task_may_call_exists() -> None:
    for name in TASK_CALLS | TRAINING_CALLS:
        assert callable(_resolve(name, TASK_CALLS | TRAINING_CALLS)), name


def test_a_number_that_yaml_reads_as_a_text_is_named() -> None:
    with pytest.raises(mo.MetaoptError, match=r"YAML reads 1\.0e-3"):
        settings_of({"settings": {"rate": {"call": "metaopt.training.LearningRate", "peak": "1e-3"}}})


CALL = "{call: metaopt.models.rim}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"model: {CALL}\ntask: {CALL}\nsteps: 3\n", "has the entries model, task, .* has model, task, steps"),
        (f"model: {CALL}\n", "the first two at least"),
        ("", "has NoneType"),
        ("- 1\n", "has list"),
        ("model: [\n", "is not YAML"),
        ("model: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("\0", "is not YAML"),
        (f"model: 5\ntask: {CALL}\n", "entry model of .* must be a mapping that says what to call"),
        (f"model: {CALL}\ntask: {{low: 1}}\n", "entry task of .* must be a mapping that says what to call"),
        (f"model: {CALL}\ntask: {CALL}\nsettings: 7\n", "entry settings of .* must be a mapping, not 7"),
        (f"model: {CALL}\ntask: {CALL}\nseed: one\n", "seed of .* must be a whole number, not 'one'"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(mo.MetaoptError, match=words):
        read_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize("word", ["1.0e-400", "-1.0e+400", "1_0.0e+999", "0." + "0" * 400 + "1", "!!float 1e-400"])
def test_a_number_of_a_recipe_beyond_float64_is_named_with_its_line(tmp_path: Path, word: str) -> None:
    text = f"model: {CALL}\ntask: {CALL}\nsettings:\n  list: [1, [0.0e-999, {word}]]\n"
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(mo.MetaoptError, match=r"r\.yaml, line 4: the number .* is beyond float64, .*; scale it"):
        read_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize("word", [".inf", "-.inf", ".nan", "!!float inf"])
def test_a_number_of_a_recipe_that_is_not_finite_is_named_with_its_place(tmp_path: Path, word: str) -> None:
    (tmp_path / "r.yaml").write_text(f"model: {CALL}\ntask: {CALL}\nsettings: {{list: [1, {word}]}}\n")
    with pytest.raises(mo.MetaoptError, match=r"The entry settings\.list\.1 of .* is .*, which a card cannot hold"):
        read_recipe(tmp_path / "r.yaml")


def test_a_missing_recipe_lists_those_there_are(tmp_path: Path) -> None:
    known = ", ".join(sorted(SHIPPED + AIRWAYS + OPTIMIZERS))
    with pytest.raises(mo.MetaoptError, match=rf"no recipe file nothing.*it has {known}"):
        find_recipe("nothing")
    with pytest.raises(mo.MetaoptError, match="no recipe file"):
        find_recipe(str(tmp_path))
    with pytest.raises(mo.MetaoptError, match="Cannot read the recipe"):
        read_recipe(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(mo.MetaoptError, match="is not YAML"):
        read_recipe(tmp_path / "binary.yaml")


def test_a_recipe_may_start_from_weights_that_fit(tmp_path: Path) -> None:
    """With a rate of nearly 0 the result is the start, and parts that the weights lack are as before training."""
    start = tiny.write_weights(tmp_path, kernels=[1])
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    recipe["start"] = str(start)
    recipe["card"] = {"data": "four pictures of noise"}
    recipe["model"]["scales"] = [2]
    recipe["settings"]["rate"] |= {"peak": 1e-12, "final": 1e-12}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    given, got = load(start).state_dict(), load(tmp_path / "out" / "weights.safetensors").state_dict()
    for name, tensor in given.items():
        torch.testing.assert_close(got[name], tensor, rtol=1e-6, atol=1e-8)
    problem = mo.InverseProblem(mo.operators.Identity(), torch.rand(1, 1, 6, 6), 0.1)
    expected = load(start)(problem).final
    again = load(tmp_path / "out" / "weights.safetensors")(problem, steps=3).final
    torch.testing.assert_close(again, expected, rtol=0, atol=1e-5)
    card = read_card(tmp_path / "out" / "weights.safetensors")
    assert card["history"] == ["tiny: None updates in None minutes"], "the start's own card says no more"
    assert card["data"] == "four pictures of noise"
    recipe["model"]["hidden"] = 5
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(mo.MetaoptError, match=r"tiny\.safetensors have .*this model has not"):
        run_recipe(tmp_path / "r.yaml", tmp_path / "other")


def test_a_machine_for_complex_pictures_may_start_from_one_for_real_ones(tmp_path: Path) -> None:
    real = load(tiny.write_weights(tmp_path, kernels=[1]))
    net = mo.models.rim(hidden=4, kernels=[1], stride=2, steps=3, is_complex=True, each_part=True)
    start_from(net, str(tmp_path / "tiny.safetensors"))
    taken = net.algorithm.update.module.update.state_dict()
    assert all(torch.equal(taken[n], t) for n, t in real.algorithm.update.module.state_dict().items())


def test_a_recipe_says_its_loss_and_the_card_how_it_fell(tmp_path: Path) -> None:
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    recipe |= {"loss": "negative_psnr"}
    recipe["watch"]["validate_every"] = 3
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    result = run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    problem, target = task_of(recipe, "validation").sample(batch_seed(-1, 0, 0) % 2**31)
    card = read_card(tmp_path / "out" / "weights.safetensors")
    with torch.no_grad():
        final = load(tmp_path / "out" / "weights.safetensors")(problem).final
    assert result["validation"] == pytest.approx(float(negative_psnr(final, target)), rel=1e-5)
    assert card["curve"] == [[3, pytest.approx(result["validation"], abs=3)], [6, round(result["validation"], 6)]]
    assert card["device"] == "cpu"
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe | {"loss": "l1"}))
    with pytest.raises(
        mo.MetaoptError,
        match=r"loss of a recipe is one of .*cross_entropy, .*mse, negative_psnr, or a mapping .*, not 'l1'",
    ):
        read_recipe(tmp_path / "r.yaml")


def test_a_recipe_may_build_its_loss_and_named_ones_take_the_weights_of_its_settings(tmp_path: Path) -> None:
    built = {"call": "metaopt.losses.Supervised", "loss": {"take": "metaopt.losses.mse"}, "weights": [1, 3]}
    losses = []
    for name, change in (("built", {"loss": built}), ("named", {"loss": "mse"})):
        recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text()) | change
        recipe["settings"] |= {"updates": 2, "steps": [2, 2]} | ({"weights": [1, 3]} if name == "named" else {})
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
        losses.append(run_recipe(tmp_path / "r.yaml", tmp_path / name)["loss"])
    assert losses[0] == losses[1]
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe | {"loss": {"call": "metaopt.losses.Supervized"}}))
    with pytest.raises(mo.MetaoptError, match="Supervized"):
        read_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize("device", ["nowhere", "cuda:77"])
def test_a_device_that_there_is_not_is_a_sentence(tmp_path: Path, device: str) -> None:
    with pytest.raises(mo.MetaoptError, match=f"The device {device} cannot be used: "):
        run_recipe(tiny.write_recipe(tmp_path), tmp_path / "out", device)
    assert not (tmp_path / "out").exists()


def test_a_recipe_without_settings_takes_the_usual_ones_and_a_model_must_be_one(tmp_path: Path) -> None:
    task = {"call": "metaopt.core.gradients.Backprop"}
    recipe = {"model": {"call": "metaopt.Truncated", "last": 1}, "task": task, "settings": None, "watch": None}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(mo.MetaoptError, match=r"needs an unrolled algorithm.*not Truncated"):
        run_recipe(tmp_path / "r.yaml", tmp_path / "out")


def test_a_recipe_leads_to_weights_that_load_and_is_the_same_when_interrupted(tmp_path: Path) -> None:
    tiny_recipe = tiny.write_recipe(tmp_path)
    whole = run_recipe(tiny_recipe, tmp_path / "whole")
    recipe = yaml.safe_load(tiny_recipe.read_text())
    recipe["settings"]["updates"] = 3  # the rate is constant, so this is the same training cut off
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(recipe))
    run_recipe(tmp_path / "short.yaml", tmp_path / "cut")
    again = run_recipe(tiny_recipe, tmp_path / "cut")
    assert again["validation"] == whole["validation"]
    nets = [load(tmp_path / name / "weights.safetensors") for name in ("whole", "cut")]
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(a, b)
    card = json.loads((tmp_path / "whole" / "weights.json").read_text())
    model = {"call": "metaopt.models.rim", "hidden": 4, "kernels": [1], "stride": 2}
    assert card["call"] | model == card["call"]
    assert card["trained_steps"] == 10, "the number of steps is rim's own where the recipe gives none"
    assert card["updates"] == 6
    assert card["validation_loss"] == whole["validation"]
    assert card["recipe"] == yaml.safe_load(tiny_recipe.read_text())
    assert card["parameters"] == sum(p.numel() for p in nets[0].parameters())


def lines(*parts: str) -> str:
    return "\n".join([f"model: {CALL}", f"task: {CALL}", *parts])


LAUGHS = "card:\n  a0: &a0 [x, x]\n" + "".join(f"  a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGES = "card:\n  a0: &a0 {k: 1}\n" + "".join(f"  a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (lines(LAUGHS), "more than 100,000 entries, each alias counted"),
        (lines(MERGES), "more than 100,000 entries, each alias counted"),
        (lines("card: &a", "  b: *a"), "refers to itself by an alias"),
        (lines("card: &a [*a]"), "refers to itself by an alias"),
        (lines("card: {a: " + "[" * 60 + "]" * 60 + "}"), "nested more than 50 deep"),
        ("[" * 100_000, "nested more deeply|is not YAML"),
        (lines("card: {a: " + "{b: " * 2000 + "1" + "}" * 2001), "nested more"),
        ("# " + "x" * 2**20, "has more than 1,048,576 bytes"),
        (lines("card: {when: 2024-01-31}"), r"entry card\.when of .* is a date, which a card cannot hold"),
        (lines("card: {when: 2024-99-99}"), "is not YAML"),
        (lines("card: {who: !!set {a, b}}"), r"card\.who of .* is a set"),
        (lines("card: {raw: !!binary aGVsbG8=}"), r"card\.raw of .* is a bytes"),
        (lines("card: {loss: .nan}"), r"card\.loss of .* is nan, which a card cannot hold"),
        (lines("settings: {clip: .inf}"), r"settings\.clip of .* is inf"),
        (lines("card: {1: a}"), "has the name 1, but names are texts"),
        (lines("card: {[a, b]: c}"), "is not YAML|names are texts"),
        (lines("seed: " + "9" * 5000), "is not YAML|whole number"),
        (lines("start: [a]"), "entry start of .* must name weights"),
        (lines("settings: {call: os.system}"), "entry settings of .* calls nothing"),
        (lines("validation: metaopt.models.load"), "entry validation of .* must be a mapping"),
        ("a: 1\n---\nb: 2\n", "is not YAML"),
    ],
)
def test_a_bomb_or_what_no_card_can_hold_is_refused_before_any_work(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(mo.MetaoptError, match=words):
        run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


FORBIDDEN = [
    *("os.system", "os.mkdir", "builtins.eval", "__main__.main", "torch.load", "torch.save", "pickle.loads"),
    *(f"metaopt.data.{name}" for name in ("write_image", "write_uai", "write_marginals", "fetch_source", "read_uai")),
    *("metaopt.training.run_recipe", "metaopt.training.train", "metaopt.weights.save", "metaopt.models.save"),
    *("metaopt.models.load", "metaopt.weights.save_tensors", "metaopt.weights.cards.write_card"),
    *(
        "metaopt.models.rim.__globals__",
        "metaopt.models.__builtins__.eval",
        "metaopt.core.__init__",
        "metaopt.__main__",
    ),
    *("metaopt.models.os.system", "", ".", "metaopt.models.", "metaopt.tasks.denoising.Path", "__import__"),
]


@pytest.mark.parametrize("form", ["call", "take"])
@pytest.mark.parametrize("name", FORBIDDEN)
def test_no_entry_of_a_recipe_calls_what_is_not_for_it_at_any_depth(tmp_path: Path, name: str, form: str) -> None:
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    inner = {form: name} | ({"path": str(tmp_path / "written")} if form == "call" else {})
    places = [
        {"model": inner if form == "call" else {"call": name}},
        {"model": {**recipe["model"], "hidden": inner}},
        {"model": {**recipe["model"], "kernels": [[{"deep": inner}]]}},
        {"task": {**recipe["task"], "patches": {**recipe["task"]["patches"], "size": inner}}},
        {"validation": {**recipe["task"], "patches": inner}},
        {"loss": inner},
        {"loss": {"call": "metaopt.losses.Supervised", "loss": inner}},
        {"settings": {**recipe["settings"], "rate": inner}},
        {"watch": {"log_every": inner}},
    ]
    before = sorted(p.name for p in tmp_path.iterdir())
    for place in places:
        (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe | place))
        with pytest.raises(mo.MetaoptError):
            run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*before, "r.yaml"])


def test_no_allow_list_has_a_name_that_writes_or_runs() -> None:
    for name in TASK_CALLS | TRAINING_CALLS | LOSS_CALLS | MODEL_CALLS:
        last = name.rpartition(".")[2]
        assert name.startswith(("metaopt.", "torch.nn.functional."))
        assert not last.startswith(("_", "write", "save", "run", "load", "fetch", "train", "find")), name


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"updates": 10**12}, "updates must be a whole number of at most 1,000,000,000"),
        ({"updates": 10**400}, "but got one of more than 30 digits"),
        ({"updates": "1e12"}, "updates must be a whole number"),
        ({"updates": 1e12}, "updates must be a whole number"),
        ({"batches": 10**12}, "batches must be a whole number of at most 1,000,000"),
        ({"steps": [1, 10**12]}, "steps must be"),
        (
            {"rate": {"call": "metaopt.training.LearningRate", "warmup": 10**40}},
            "warmup must be a whole number of at most",
        ),
        ({"rate": {"call": "metaopt.training.LearningRate", "optimizer": ["adam"]}}, "optimizer must be one of"),
    ],
)
def test_settings_without_end_are_refused_before_any_work(tmp_path: Path, entry: Any, words: str) -> None:
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    recipe["settings"] |= entry
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(mo.MetaoptError, match=words):
        run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": {"batch": 10**8}}, r"task\.patches\.batch of the recipe is a whole number of at most 1,000,000"),
        ({"validation": {"batch": 10**12}}, r"patches\.batch of the recipe"),
        ({"model": {"steps": 10**9}}, "takes 1,000,000,000 steps where it is validated, which never ends"),
        ({"model": {"scales": [10**9]}}, "at most 512 pixels a side"),
        ({"card": {"trained_range": {"noise": [0, 1]}}}, "'trained_range' of the card of .* is malformed"),
        ({"card": {"tasks": "denoise"}}, "'tasks' of a card is a list"),
        ({"card": {"derived": 3}}, "'derived' of a card is a list"),
    ],
)
def test_what_would_never_end_or_never_load_is_refused_before_any_work(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    for entry, values in change.items():
        within = recipe[entry]["patches"] if entry in ("task", "validation") else recipe.setdefault(entry, {})
        within |= values
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(mo.MetaoptError, match=words):
        run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tensors_that_fit_one_by_one_are_refused_where_they_do_not_together() -> None:
    with Bounded(1000, 2500):
        kept = [torch.empty(200), torch.empty(200).fill_(1).view(2, 100).t(), torch.empty(200).requires_grad_()]
        with pytest.raises(mo.MetaoptError, match="together take more memory than fits"):
            kept.append(torch.empty(200))
    assert len(kept) == 3
    assert 2**28 < memory() < 2**50


@pytest.mark.parametrize("updates", [10**9])
def test_a_long_training_begins_at_once(tmp_path: Path, updates: int) -> None:
    class Enough(Exception):
        pass

    class Stops:
        def sample(self, seed: int) -> Any:
            raise Enough

    with pytest.raises(Enough):
        train(tiny.network(), Stops(), tmp_path, Settings(updates=updates))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": {"hidden": 5}}, "belongs to another|another network"),
        ({"task": {"noise_levels": [0.1, 0.2]}}, r"recipe\.task\.noise_levels"),
        ({"loss": "negative_psnr"}, r"its loss .*negative_psnr|loss"),
        ({"settings": {"clip": 0.125}}, r"settings\.clip"),
    ],
)
def test_another_recipe_does_not_go_on_in_the_folder_of_one(tmp_path: Path, change: Any, words: str) -> None:
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    recipe["settings"]["updates"] = 2
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    card = (tmp_path / "out" / "weights.json").read_bytes()
    other = {k: {**recipe.get(k, {}), **v} if isinstance(v, dict) else v for k, v in change.items()}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe | other))
    with pytest.raises(mo.MetaoptError, match=words):
        run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    assert (tmp_path / "out" / "weights.json").read_bytes() == card


@pytest.mark.parametrize(
    "model", [{"hidden": 10**6}, {"hidden": 10**12}, {"kernels": [10**9]}, {"kernels": [[10**5, 10**5]]}, {"steps": -1}]
)
def test_a_network_that_fits_into_no_memory_is_refused_before_it_is_made(tmp_path: Path, model: Any) -> None:
    recipe = yaml.safe_load(tiny.write_recipe(tmp_path).read_text())
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe | {"model": {**recipe["model"], **model}}))
    with pytest.raises(mo.MetaoptError):
        run_recipe(tmp_path / "r.yaml", tmp_path / "out")
    assert not (tmp_path / "out").exists()

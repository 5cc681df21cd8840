"""Every figure of a benchmark says where it comes from: rows are kept, measured again and refused by digests."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import check, provenance, readme, rows

ROOT = Path(__file__).parents[2]
TOY = '''"""A benchmark of two rows."""


def used():
    from metaopt import part

    return part.VALUE


def measured(name, log):
    log.append(name)
    return {"method": name, "psnr": 1.0}
'''


class Toy:
    """A repository with one benchmark, whose row "a" reads weights and whose row "b" reads data."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.log = folder, []
        self.weights, self.results = folder / "benchmarks/weights/a.safetensors", folder / "benchmarks/results/toy.json"
        self.write("benchmarks/__init__.py", "")
        self.write("benchmarks/toy.py", TOY)
        self.write("metaopt/__init__.py", "")
        self.write("metaopt/part.py", "VALUE = 1.0\n")
        self.write("benchmarks/weights/a.safetensors", "weights")
        self.write("benchmarks/weights/a.json", "{}")
        self.write("data/set/1.txt", "one")
        monkeypatch.setenv("METAOPT_DATA", str(folder / "data"))
        monkeypatch.setattr(provenance, "ROOT", folder)
        monkeypatch.setattr(rows, "RESULTS", folder / "benchmarks/results")
        monkeypatch.setattr(rows, "UNFINISHED", folder / "runs")
        monkeypatch.setattr(provenance, "commit", lambda: "0" * 40)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, cut_off: bool = False, settings: Any = None, **options: bool) -> list[str]:
        """The rows that this run measured; one that is cut off ends in the second."""
        spec = importlib.util.spec_from_file_location("toy", self.folder / "benchmarks/toy.py")
        assert spec and spec.loader
        toy = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(toy)
        self.log.clear()
        saved = rows.Rows("toy", settings or {}, argparse.Namespace(**{"quick": False, "rerun": False, **options}))
        found = [saved.row("a", _call(toy.measured, "a", self.log), [self.weights])]
        if cut_off:
            with pytest.raises(KeyboardInterrupt):
                saved.row("b", _call(toy.measured, "b", None))
            return list(self.log)
        found.append(saved.row("b", _call(toy.measured, "b", self.log), ["set"]))
        saved.write({"psnr": found[0]["psnr"]}, [{"set": "toy", **row} for row in found], [0])
        return list(self.log)

    def checked(self) -> check.Found:
        return check.check_results("toy", json.loads(self.results.read_text()))

    def edit(self, change: Callable[[dict[str, Any]], Any]) -> None:
        content = json.loads(self.results.read_text())
        change(content)
        self.results.write_text(json.dumps(content))


def _call(measured: Callable[..., Any], name: str, log: list[str] | None) -> Callable[[], Any]:
    return functools.partial(measured if log is not None else _interrupted, name, log)


def _interrupted(name: str, log: None) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    return Toy(tmp_path, monkeypatch)


def test_rows_are_kept_until_an_input_of_theirs_changes(toy: Toy) -> None:
    assert toy.run() == ["a", "b"]
    first = toy.results.read_text()
    assert toy.run() == []
    assert toy.results.read_text() == first
    assert toy.checked() == ([], [])
    toy.weights.write_text("other weights")
    assert toy.checked().faults == [
        "toy: row 'a' has other inputs now: benchmarks/weights/a.safetensors; run python -m benchmarks.toy."
    ]
    assert toy.run() == ["a"]
    toy.write("benchmarks/weights/a.json", '{"steps": 2}')
    assert toy.run() == ["a"]
    toy.write("data/set/2.txt", "two")
    assert toy.run() == ["b"]
    assert toy.run(settings={"updates": 2}) == ["a", "b"]
    assert toy.run(settings={"updates": 2}, rerun=True) == ["a", "b"]
    assert toy.checked() == ([], [])


def test_a_change_of_the_benchmark_counts_and_one_of_its_comments_does_not(toy: Toy) -> None:
    toy.run()
    toy.write("benchmarks/toy.py", TOY.replace("two rows", "2 rows").replace("    log", "    # why\n\n    log"))
    assert toy.run() == []
    toy.write("benchmarks/toy.py", TOY.replace("1.0", "2.0"))
    assert len(toy.checked().faults) == 2
    assert toy.run() == ["a", "b"]


def test_rows_of_older_code_are_listed_and_kept(toy: Toy) -> None:
    toy.run()
    toy.write("metaopt/part.py", "VALUE = 2.0\n")
    assert toy.checked() == ([], ["toy: 2 of 2 rows were measured by older code"])
    assert toy.run() == []
    assert toy.run(rerun=True) == ["a", "b"]
    assert toy.checked() == ([], [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["rows"][1].update(psnr=9.0), "row 'b' was changed by hand"),
        (lambda c: c["rows"].pop(), "row 'b' was changed by hand"),
        (lambda c: c["headline"].update(psnr=9.0), "changed by hand beside its rows"),
        (lambda c: c["made"]["a"].update(commit="1" * 40), "changed by hand beside its rows"),
        (lambda c: c["environments"].clear(), "changed by hand beside its rows"),
        (lambda c: c["rows"].append({"method": "c", "psnr": 9.0}), "1 rows have no provenance"),
        (lambda c: c.pop("made"), "2 rows have no provenance"),
        (lambda c: c["made"].pop("b"), "1 rows have no provenance"),
    ],
)
def test_what_is_changed_by_hand_is_found(toy: Toy, change: Callable[[dict[str, Any]], Any], said: str) -> None:
    toy.run()
    toy.edit(change)
    assert any(said in fault for fault in toy.checked().faults), toy.checked()


@pytest.mark.parametrize("field", check.FIELDS)
def test_a_row_that_lacks_a_part_of_its_provenance_is_refused(toy: Toy, field: str) -> None:
    """Also where the digest of the file fits."""
    toy.run()
    toy.edit(lambda c: c["made"]["a"].pop(field))
    toy.edit(lambda c: c.update(frame=rows.frame_digest(c)))
    assert any("'a'" in fault for fault in toy.checked().faults)


def test_a_row_that_was_changed_by_hand_is_measured_again(toy: Toy) -> None:
    toy.run()
    toy.edit(lambda c: c["rows"][1].update(psnr=9.0))
    assert toy.run() == ["b"]
    assert toy.checked() == ([], [])


def test_a_run_that_was_cut_off_goes_on(toy: Toy) -> None:
    assert toy.run(cut_off=True) == ["a"]
    assert not toy.results.exists()
    assert toy.run() == ["b"]
    assert [row["method"] for row in json.loads(toy.results.read_text())["rows"]] == ["a", "b"]
    assert not list((toy.folder / "runs").iterdir())


def test_a_quick_run_measures_all_and_writes_nothing(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy.run(quick=True) == ["a", "b"]
    assert not toy.results.exists() and not (toy.folder / "runs").exists()
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"psnr": 1.0}


def test_data_that_is_not_here_is_said_and_not_held_against_a_row(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.run()
    monkeypatch.delenv("METAOPT_DATA")
    assert toy.checked() == ([], ["toy: 1 of 2 rows read data that is not here to compare"])


def test_legacy_rows_are_listed_until_they_are_measured_again(toy: Toy) -> None:
    toy.run()

    def age(content: dict[str, Any]) -> None:
        content["rows"] = [{**row, "key": "legacy"} for row in content["rows"]]
        content["made"] = {"legacy": {"legacy": True, "values": provenance.digest(content["rows"])}}
        content["frame"] = rows.frame_digest(content)

    toy.edit(age)
    assert toy.checked().faults == []
    assert "2 of 2 rows are legacy" in toy.checked().notes[0]
    assert toy.run() == ["a", "b"]
    toy.edit(age)
    toy.edit(lambda c: c["rows"][0].update(psnr=9.0))
    assert toy.checked().faults == ["toy: row 'legacy' was changed by hand."]


def test_a_row_that_was_not_measured_is_not_written(toy: Toy) -> None:
    saved = rows.Rows("toy", {}, argparse.Namespace(quick=False, rerun=False))
    row = saved.row("a", lambda: {"psnr": 1.0})
    with pytest.raises(ValueError, match="did not measure the row"):
        saved.write({}, [row, {"psnr": 2.0}], [0])
    with pytest.raises(ValueError, match="two rows of the key 'a'"):
        saved.row("a", lambda: {"psnr": 1.0})


def test_a_picture_is_that_of_the_run(toy: Toy) -> None:
    picture, drawn = toy.folder / "strips.png", []

    def run() -> None:
        def draw() -> dict[str, Any]:
            drawn.append(picture.write_text("drawn"))
            return {"psnr": 1.0}

        saved = rows.Rows("toy", {}, argparse.Namespace(quick=False, rerun=False))
        found = saved.rows("a", draw, draws=[picture])
        saved.write({}, found, [0])

    run()
    run()
    assert len(drawn) == 1
    picture.write_text("painted over")
    assert toy.checked().faults == ["toy: strips.png is not the picture that its run drew."]
    run()
    assert len(drawn) == 2
    assert toy.checked() == ([], [])


def test_the_code_behind_a_benchmark_is_what_it_imports() -> None:
    """Found without running it, and the same as what is loaded when it is imported."""
    command = [sys.executable, "-c", "import sys, benchmarks.denoising; print(*sys.modules)"]
    modules = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    loaded = {module for module in modules if module.split(".")[0] in provenance.OURS}
    found = set(provenance.imported_by("benchmarks.denoising"))
    assert loaded <= found
    assert {"metaopt.cli", "metaopt.compat", "benchmarks.citation"}.isdisjoint(found)


def test_packages_that_are_imported_when_asked_for_and_names_in_strings_count(toy: Toy) -> None:
    toy.write("metaopt/lazy/__init__.py", "")
    toy.write("metaopt/recipe/__init__.py", "from . import part")
    toy.write("metaopt/recipe/part.py", "")
    toy.write("metaopt/unused.py", "")
    toy.write("benchmarks/toy.py", 'import metaopt as mo\n\ndef f():\n    return mo.lazy.f(), "metaopt.recipe.f"\n')
    expected = ["benchmarks", "benchmarks.toy", "metaopt", "metaopt.lazy", "metaopt.recipe", "metaopt.recipe.part"]
    assert provenance.imported_by("benchmarks.toy") == expected


def test_the_commit_is_the_one_that_is_checked_out_and_says_when_files_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-qm", "First")
    assert provenance.commit() == git("rev-parse", "HEAD")
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    (tmp_path / "benchmarks/results/toy.json").write_text("{}")
    assert provenance.commit() == git("rev-parse", "HEAD")
    (tmp_path / "b.py").write_text("2")
    assert provenance.commit() == git("rev-parse", "HEAD") + "+dirty"


def test_the_processor_is_described_with_its_features() -> None:
    found = provenance.processor()
    assert found["model"] and found["cores"] >= 1 and found["threads"] >= 1
    if sys.platform == "linux":
        flags = Path("/proc/cpuinfo").read_text().split()
        assert set(found["features"]) <= set(flags)
        assert ("avx2" in flags) == ("avx2" in found["features"])


def test_the_results_of_this_repository_belong_to_their_inputs_and_readme_to_them() -> None:
    assert check.check_all().faults == []


def test_a_figure_that_readme_says_otherwise_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert readme.faults() == []
    text = readme.README.read_text()
    psnr = f"{readme.figures(readme.read_results())['psnr_25']:.2f}"
    (tmp_path / "README.md").write_text(text.replace(psnr, "99.99"))
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    assert readme.faults() == ["README's figures are not those of the results; run python -m benchmarks.readme."]
    readme.main()
    assert (tmp_path / "README.md").read_text() == text

"""How benchmarks end: data that is missing is one sentence, and `make benchmarks-quick` goes on to the next."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import (
    citation,
    denoising,
    few_shot,
    graphical_models,
    ldpc,
    mri,
    radio,
    report,
    sparse_training,
    super_resolution,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "benchmark", [citation, denoising, few_shot, graphical_models, ldpc, mri, radio, super_resolution]
)
@pytest.mark.parametrize("named", [True, False])
def test_a_benchmark_without_its_data_says_in_a_sentence_how_to_get_it(
    benchmark: ModuleType,
    named: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("METAOPT_DATA", "")
    name = benchmark.__name__.split(".")[-1]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--quick", *(["--data", str(tmp_path)] if named else [])])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == report.SKIPPED
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"{name} needs data that is not ")
    assert "metaopt data fetch " in said and "--data DIR" in said
    assert (str(tmp_path) in said) == named


def test_a_package_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        report.need(argparse.Namespace(data=None), packages=["json", "no_such_package"])
    assert ended.value.code == report.SKIPPED
    assert "needs the package no_such_package: pip install" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_goes_on_after_what_is_skipped_or_fails_and_fails_at_the_end(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\ncase "$2" in *lacks) exit {report.SKIPPED};; *fails) exit 2;; esac\n')
    python.chmod(0o755)

    def run(names: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-o", f"{tmp_path}/.installed-benchmark", f"VENV={tmp_path}", f"BENCHMARKS={names}"]
        return subprocess.run([*command, "benchmarks-quick"], cwd=ROOT, capture_output=True, text=True)

    good = run("first lacks last")
    assert good.returncode == 0
    assert "benchmarks.last --quick" in good.stdout
    assert "Skipped: lacks" in good.stdout
    bad = run("first fails lacks last")
    assert bad.returncode != 0
    assert "benchmarks.last --quick" in bad.stdout
    assert "Failed: fails" in bad.stderr


def test_a_quick_training_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sparse_training.py", "--quick", "alista_500"])
    before = sorted((ROOT / "benchmarks/weights").iterdir())
    sparse_training.main()
    assert '{"alista_500_validation": ' in capsys.readouterr().out.splitlines()[-1]
    assert not list(tmp_path.iterdir())
    assert sorted((ROOT / "benchmarks/weights").iterdir()) == before

"""What all benchmarks share: their command line, paired timings, a table, and the results file with its headline."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
UNFINISHED = ROOT / "runs" / "benchmarks"
PACKAGES = ("torch", "numpy", "scipy", "higher", "torchopt", "torch-geometric", "scikit-image")


def parse_options(description: str | None, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """``--data DIR`` (a ``Path``, or ``None``) and ``--quick``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("METAOPT_DATA")
    parser.add_argument(
        "--data", type=Path, default=data, metavar="DIR", help="folder of data (default: $METAOPT_DATA)"
    )
    parser.add_argument("--quick", action="store_true", help="the same on less, in 60 s; writes nothing")
    return parser.parse_args(arguments)


def paired(
    functions: Mapping[str, Callable[[], Any]],
    rounds: int,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, dict[str, float]]:
    """Time rivals interleaved: in each round every function runs once, its order turned by one from round to round.

    Returns for each name ``seconds`` (median), ``ratio`` (median over rounds of its time over that of the first
    function in the same round, so that a slow moment of the machine hits both) and the ratio's quartiles ``ratio_low``
    and ``ratio_high``. A function that leaves work on a device must wait for it itself. ``clock=time.process_time``
    counts processor time, which other programs disturb less.
    """
    names = list(functions)
    for name in names * warmup:
        functions[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            begin = clock()
            functions[name]()
            seconds[name].append(clock() - begin)
    first = seconds[names[0]]
    return {name: _timing(taken, first) for name, taken in seconds.items()}


def _timing(taken: list[float], first: list[float]) -> dict[str, float]:
    ratios = [t / f for t, f in zip(taken, first, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {"seconds": statistics.median(taken), "ratio": middle, "ratio_low": low, "ratio_high": high}


class Rows:
    """The rows of a full run, saved one by one, so that a run that was cut off resumes at its next row.

    ``rows.get(key, compute)`` computes a row once. A resumed run keeps only rows of the same ``settings`` and commit,
    and none when tracked files differ from that; ``write_results`` removes what was saved. ``quick`` saves nothing.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], quick: bool):
        self._file = None if quick else UNFINISHED / f"{name}.json"
        self._of = json.loads(json.dumps({"settings": settings, "commit": commit()}))
        self._rows: dict[str, Any] = {}
        if self._file and self._file.exists():
            saved = json.loads(self._file.read_text())
            same = saved["of"] == self._of and not self._of["commit"].endswith("+")
            self._rows = saved["rows"] if same else {}

    def get(self, key: str, compute: Callable[[], Any]) -> Any:
        if key not in self._rows:
            self._rows[key] = compute()
            if self._file:
                _write_json(self._file, {"of": self._of, "rows": self._rows})
        return self._rows[key]


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """The rows as aligned text; numbers with four digits, columns named by ``columns`` or by the first row's keys."""
    columns = columns or list(rows[0])
    lines = [list(columns), *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_results(
    name: str,
    headline: Mapping[str, float],
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    seeds: Sequence[int],
    quick: bool,
) -> None:
    """Write ``benchmarks/results/<name>.json`` (not when ``quick``) and print the headline as the last line."""
    if not quick:
        results = {
            "name": name,
            "headline": headline,
            "rows": rows,
            "settings": settings,
            "seeds": list(seeds),
            "versions": versions(),
            "commit": commit(),
            "processor": processor(),
        }
        _write_json(RESULTS / f"{name}.json", results)
        (UNFINISHED / f"{name}.json").unlink(missing_ok=True)
    print(json.dumps(headline), flush=True)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that is checked out, with ``+`` where tracked files differ from it; ``unknown`` outside git."""
    try:
        sha = _git("rev-parse", "HEAD")
        return sha + (
            "+" if _git("status", "--porcelain", "--untracked-files=no", "--", ":!benchmarks/results") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def processor() -> str:
    """Model, number of cores, and how many threads torch uses."""
    info = Path("/proc/cpuinfo")
    models = (
        [x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if "model name" in x]
        if info.exists()
        else []
    )
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def _write_json(path: Path, content: Any) -> None:
    """Whole or not at all: written beside its place, then moved there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(content, indent=2) + "\n")
    beside.replace(path)

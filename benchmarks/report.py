"""What all benchmarks share: their command line, what they need to run, paired timings, and a table."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from metaopt import MetaoptError
from metaopt.data import data_path

SKIPPED = 77  # the exit status of a benchmark that lacks data or a package; that of a test that is skipped, in automake


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with ``--data DIR`` and ``--quick``, which every benchmark and every recipe has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of data (default: $METAOPT_DATA)")
    parser.add_argument("--quick", action="store_true", help="the same on less, in 60 s; writes nothing")
    return parser


def parse_options(description: str | None, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """``data`` (a ``Path``, or ``None``), ``quick`` and ``rerun``."""
    parser = options_parser(description)
    parser.add_argument("--rerun", action="store_true", help="measure every row again, also where no input changed")
    return parser.parse_args(arguments)


def need(options: argparse.Namespace, data: Iterable[str] = (), packages: Iterable[str] = ()) -> None:
    """Read data from ``options.data``; leave the program with ``SKIPPED`` where something is not there.

    Args:
        options: of :func:`parse_options`.
        data: folders or files below the folder of data.
        packages: names under which they are imported.
    """
    if options.data is not None:
        os.environ["METAOPT_DATA"] = str(options.data)
    if missing := [name for name in data if not _is_there(name)]:
        folder = os.environ.get("METAOPT_DATA")
        sets = sorted({"/".join(Path(name).parts[:2]) for name in missing})
        _skip(
            f"needs data that is not {f'in {folder}' if folder else 'there'}: {', '.join(sets)}; get it, as by "
            f"`metaopt data fetch {sets[0]}`, or say where it is by --data DIR or METAOPT_DATA."
        )
    if absent := [name for name in packages if find_spec(name) is None]:
        _skip(f"needs the package {', '.join(absent)}: pip install '.[benchmark]'.")


def _is_there(name: str) -> bool:
    try:
        return data_path(name).exists()
    except MetaoptError:
        return False


def _skip(what: str) -> NoReturn:
    print(f"{Path(sys.argv[0]).stem} {what}", file=sys.stderr)
    raise SystemExit(SKIPPED)


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


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """The rows as aligned text; numbers with four digits, columns named by ``columns`` or by the first row's keys."""
    columns = columns or [name for name in rows[0] if name != "key"]
    lines = [list(columns), *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

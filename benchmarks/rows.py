"""The rows of a benchmark: each is measured once, carries its provenance, and is measured again when its inputs change.

A benchmark names its rows, and gives for each a function and what that reads::

    saved = Rows("denoising", settings, options)
    row = saved.row("sigma 25 RIM", lambda: {"psnr": measure()}, ["natural/bsd68_gray", weights_of("denoise_grey")])
    saved.write({"psnr_25": row["psnr"]}, [row], seeds=[0])

``benchmarks/results/NAME.json`` then holds, beside the rows and the headline, for every key under ``made``: the digests
``inputs`` (of what the row reads, the file that defines its function, the settings), ``code`` (of all modules that the
benchmark imports) and ``values`` (of the rows themselves), the ``commit``, the ``date``, and under ``with`` which of
``environments`` (versions, processor) it was measured in. ``python -m benchmarks.check`` compares all of this with the
files that are there.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metaopt.weights.cards import SHIPPED

from . import provenance

RESULTS = provenance.ROOT / "benchmarks" / "results"
UNFINISHED = provenance.ROOT / "runs" / "benchmarks"
Row = dict[str, Any]
Read = str | Path  # a data set, by its folder or file below the folder of data; a file of the repository


class Rows:
    """The rows of one run of the benchmark ``benchmarks/NAME.py``.

    What an earlier run left is kept where its inputs are the same and nobody has changed its values; that includes a
    run that was cut off, whose rows wait in runs/benchmarks. ``options.rerun`` keeps nothing; ``options.quick`` keeps
    nothing and writes nothing.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], options: argparse.Namespace):
        self.name, self.settings, self.quick = name, json.loads(json.dumps(settings)), options.quick
        self._used: list[str] = []
        self._content: dict[str, dict[str, Any]] = {"rows": {}, "made": {}, "environments": {}}
        if not self.quick:
            self._commit, self._files = provenance.commit(), provenance.code_of(f"benchmarks.{name}")
            self._code = provenance.digest(self._files)  # now, because a run does not see later changes
            if not options.rerun:
                self._take(_read_json(RESULTS / f"{name}.json"))
                self._take(_read_json(self._unfinished))

    def row(self, key: str, compute: Callable[[], Row], reads: Iterable[Read] = (), given: Any = None) -> Row:
        """The row of that key; see :meth:`rows`."""
        (row,) = self.rows(key, compute, reads, given)
        return row

    def rows(
        self,
        key: str,
        compute: Callable[[], Row | Sequence[Row]],
        reads: Iterable[Read] = (),
        given: Any = None,
        draws: Iterable[Path] = (),
    ) -> list[Row]:
        """The rows that ``compute`` gives, measured now or kept.

        Args:
            key: a name that no other row of this benchmark has. It comes to the rows as their entry ``key``.
            compute: measures one row, or several that are measured together.
            reads: the weights and data that it reads.
            given: results of other rows that it uses.
            draws: the pictures that it writes; where one is not the one that it wrote, it measures again.
        """
        if key in self._used:
            raise ValueError(f"{self.name} has two rows of the key {key!r}.")
        self._used.append(key)
        if self.quick:
            return _tagged(key, compute())
        names = sorted({provenance.name_of(read) for read in (_source_of(compute), *reads)})
        made = {"reads": names, **({} if given is None else {"given": provenance.digest(given)})}
        self._files |= {name: provenance.file_digest(name) for name in names if name not in self._files}
        inputs = inputs_digest(key, made, self.settings, self._files)
        before = self._content["made"].get(key)
        kept, drawn = self._content["rows"].get(key, []), [provenance.name_of(path) for path in draws]
        if (
            not before
            or before.get("inputs") != inputs
            or before["values"] != provenance.digest(kept)
            or before.get("draws", {}) != _digests(drawn)
        ):
            kept = _tagged(key, compute())
            around = provenance.environment()
            made |= {"inputs": inputs, "code": self._code, "values": provenance.digest(kept)}
            made |= {
                "commit": self._commit,
                "date": datetime.date.today().isoformat(),
                "with": provenance.digest(around),
            }
            made |= {"draws": _digests(drawn)} if drawn else {}
            self._content["environments"][made["with"]] = around
            self._content["made"][key], self._content["rows"][key] = made, kept
            _write_json(self._unfinished, self._flat())
        return [dict(row) for row in kept]

    def write(
        self,
        headline: Mapping[str, Any],
        rows: Sequence[Row],
        seeds: Iterable[int],
        pictures: Iterable[Path] = (),
    ) -> None:
        """Write the results file (not when quick), and print the headline as the last line.

        ``rows`` are those of :meth:`rows`, in the order of the file, to which columns may have been added;
        ``pictures`` are the files that this run has drawn of them all.
        """
        if not self.quick:
            self._content["rows"] = {key: [row for row in rows if row.get("key") == key] for key in self._used}
            if foreign := [row for row in rows if row.get("key") not in self._used]:
                raise ValueError(f"{self.name} did not measure the row {foreign[0]}.")
            for key, found in self._content["rows"].items():
                self._content["made"][key]["values"] = provenance.digest(found)
            made = {key: self._content["made"][key] for key in self._used}
            around = {each["with"]: self._content["environments"][each["with"]] for each in made.values()}
            results = {
                "name": self.name,
                "headline": headline,
                "rows": rows,
                "settings": self.settings,
                "seeds": list(seeds),
                "made": made,
                "files": {name: self._files[name] for each in made.values() for name in each["reads"]},
                "pictures": _digests(map(provenance.name_of, pictures)),
                "environments": around,
            }
            _write_json(RESULTS / f"{self.name}.json", {**results, "frame": frame_digest(results)})
            self._unfinished.unlink(missing_ok=True)
        print(json.dumps(headline), flush=True)

    @property
    def _unfinished(self) -> Path:
        return UNFINISHED / f"{self.name}.json"

    def _take(self, file: Mapping[str, Any]) -> None:
        for key, made in file.get("made", {}).items():
            self._content["made"][key] = made
            self._content["rows"][key] = [row for row in file["rows"] if row.get("key") == key]
        self._content["environments"] |= file.get("environments", {})

    def _flat(self) -> dict[str, Any]:
        return {**self._content, "rows": [row for rows in self._content["rows"].values() for row in rows]}


def inputs_digest(key: str, made: Mapping[str, Any], settings: Any, files: Mapping[str, str | None]) -> str:
    """Of what the row ``key`` is made from; ``files`` are the digests of at least the files that it reads."""
    return provenance.digest([key, settings, made.get("given"), {name: files[name] for name in made["reads"]}])


def frame_digest(results: Mapping[str, Any]) -> str:
    """Of all that a results file says beside its rows, which have digests of their own."""
    return provenance.digest({name: value for name, value in results.items() if name not in ("rows", "frame")})


def weights_of(name: str | Path) -> Path:
    """The file of shipped weights by name; a path stays as it is."""
    return name if isinstance(name, Path) else SHIPPED / f"{name}.safetensors"


def _tagged(key: str, found: Row | Sequence[Row]) -> list[Row]:
    rows = [found] if isinstance(found, dict) else found
    return json.loads(json.dumps([{"key": key, **row} for row in rows]))


def _digests(names: Iterable[str]) -> dict[str, str | None]:
    return {name: provenance.file_digest(name) for name in names}


def _source_of(function: Any) -> Path:
    """The file that defines a function, also one that is wrapped or has arguments filled in."""
    while isinstance(function, functools.partial):
        function = function.func
    return Path(inspect.getsourcefile(inspect.unwrap(function)) or __file__)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _write_json(path: Path, content: Any) -> None:
    """Whole or not at all: written beside its place, then moved there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(content, indent=2) + "\n")
    beside.replace(path)

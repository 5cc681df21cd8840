"""Whether every figure has its provenance and still belongs to its inputs: ``python -m benchmarks.check``.

Each row of a results file has a digest of its values, which nobody has changed by hand, and of its inputs, which are
compared with the files that are there (data only where the folder of data is). The pictures are those that the run
drew, and README's figures those of the results. Exits with 1 where one of these fails.

Rows that were measured by older code are listed, and so are ``legacy`` rows, which were written before rows carried
their provenance, and rows of uncommitted changes; with these alone it exits with 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import provenance, readme, rows

FIELDS = ("reads", "inputs", "code", "values", "commit", "date", "with")  # that are said of every row
COMMIT = re.compile(r"[0-9a-f]{40}(\+dirty)?")


class Found(NamedTuple):
    """Sentences: what is wrong, and what is only to be known."""

    faults: list[str]
    notes: list[str]


def check_all() -> Found:
    """Every results file, and README."""
    found = Found([], [])
    for path in sorted(rows.RESULTS.glob("*.json")):
        try:
            faults, notes = check_results(path.stem, json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            faults, notes = [f"{path.stem}: this is not a results file ({type(error).__name__}: {error})."], []
        found.faults.extend(faults)
        found.notes.extend(notes)
    if not found.faults:
        found.faults.extend(readme.faults())
    return found


def check_results(name: str, results: Mapping[str, Any]) -> Found:
    """One results file."""
    made = results.get("made", {})
    if strange := [row for row in results["rows"] if row.get("key") not in made]:
        return Found([f"{name}: {len(strange)} rows have no provenance, such as {json.dumps(strange[0])[:100]}"], [])
    faults = [] if results.get("frame") == rows.frame_digest(results) else [f"{name}: changed by hand beside its rows."]
    now = {file: provenance.file_digest(file) for file in results["files"]}
    absent = {file for file in now if now[file] is None and file.startswith(provenance.DATA)}
    changed = {file for file in now if now[file] != results["files"][file]} - absent
    code, kinds = provenance.digest(provenance.code_of(f"benchmarks.{name}")), {}
    for key, of in made.items():
        faults += [f"{name}: row {key!r} {fault}" for fault in _faults(key, of, results, changed)]
        count = sum(row["key"] == key for row in results["rows"])
        for kind in _kinds(of, code, absent):
            kinds[kind] = kinds.get(kind, 0) + count
    pictures = {**results["pictures"], **{k: v for of in made.values() for k, v in of.get("draws", {}).items()}}
    redrawn = [picture for picture, drawn in pictures.items() if provenance.file_digest(picture) != drawn]
    faults += [f"{name}: {picture} is not the picture that its run drew." for picture in redrawn]
    return Found(faults, [f"{name}: {count} of {len(results['rows'])} rows {kind}" for kind, count in kinds.items()])


def _faults(key: str, of: Mapping[str, Any], results: Mapping[str, Any], changed: set[str]) -> Iterator[str]:
    if provenance.digest([row for row in results["rows"] if row["key"] == key]) != of.get("values"):
        yield "was changed by hand."
    if of.get("legacy"):
        return
    if lacking := [field for field in FIELDS if not of.get(field)]:
        yield f"lacks of its provenance: {', '.join(lacking)}."
        return
    if not COMMIT.fullmatch(of["commit"]):
        yield f"has no commit, but {of['commit']!r}."
    if provenance.digest(results["environments"].get(of["with"])) != of["with"]:
        yield "does not say with which versions and on what processor it was measured."
    if of["inputs"] != rows.inputs_digest(key, of, results["settings"], results["files"]):
        yield "was measured with other settings or files than this file says."
    if other := changed & set(of["reads"]):
        yield f"has other inputs now: {', '.join(sorted(other))}; run python -m benchmarks.{results['name']}."


def _kinds(of: Mapping[str, Any], code: str, absent: set[str]) -> Iterator[str]:
    if of.get("legacy"):
        yield "are legacy: they were written before rows carried their provenance"
        return
    if of.get("code") != code:
        yield "were measured by older code"
    if str(of.get("commit")).endswith("+dirty"):
        yield "were measured by uncommitted code"
    if absent & set(of.get("reads", ())):
        yield "read data that is not here to compare"


def main() -> None:
    faults, notes = check_all()
    print("\n".join([*notes, *faults, f"{len(faults)} faults." if faults else "Every figure belongs to its inputs."]))
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()

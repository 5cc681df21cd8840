"""Writes the part of the page on data that lists the data sets, from the registry, so that it cannot rot."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from metaopt.cli.arguments import readable_size
from metaopt.data import Source, read_source, source_names

KINDS = {
    "convex": "Convex programs",
    "ct": "Computed tomography",
    "fewshot": "Few-shot learning",
    "graphs": "Graphs and graphical models",
    "mri": "Magnetic resonance imaging",
    "natural": "Photographs",
    "radio": "Radio astronomy",
}


def write(path: Path) -> None:
    """A section for each kind, with an entry for each data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sections = []
    for kind, names in groupby(source_names(), key=lambda name: name.partition("/")[0]):
        sections += [KINDS[kind], "~" * len(KINDS[kind]), ""]
        sections += [line for name in names for line in _entry(read_source(name))]
    path.write_text("\n".join(sections))


def _entry(source: Source) -> list[str]:
    lines = [f"{source.title}."]
    fields = {
        "Use": source.use,
        "Licence": source.licence,
        "From": source.origin,
        "Size": _extent(source),
        "Note": source.note,
        "By hand": source.by_hand,
    }
    lines += ["", *(f"- {name}: {_plain(text)}" for name, text in fields.items() if text), ""]
    return [f"``{source.name}``", *(f"   {line}" if line else "" for line in lines)]


def _extent(source: Source) -> str:
    return f"{len(source.files)} files, {readable_size(source.size)}" if source.files else ""


def _plain(text: str) -> str:
    """Without reST: an underscore at the end of a word would be a link."""
    return text.replace("_", "\\_")

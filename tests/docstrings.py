"""The form of public docstrings, as a check that reads source code and never runs it, like ``architecture.py``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .architecture import Function, Source

SECTIONS = ("Args", "Slots", "Returns", "Raises", "Source", "Example")
# What Google style also allows, and what it is called here.
SYNONYMS = {
    "Arguments": "Args",
    "Parameters": "Args",
    "Return": "Returns",
    "Reference": "Source",
    "References": "Source",
    "Examples": "Example",
}
HEADING = re.compile(rf"(?:^|(?<=[.;)] ))({'|'.join((*SECTIONS, *SYNONYMS))}):(.*)")


def docstring_sections(source: Source) -> list[str]:
    """A first line that is a sentence, and sections in one order, each under a line of its own."""
    return [
        source.at(node, f"the docstring of {name} {fault}")
        for node, name, docstring in _public_docstrings(source)
        for fault in _faults(docstring)
    ]


def _public_docstrings(source: Source) -> Iterator[tuple[ast.AST, str, str]]:
    if docstring := ast.get_docstring(source.tree):
        yield source.tree.body[0], "the module", docstring
    yield from _of_members(source.tree)


def _of_members(scope: ast.AST) -> Iterator[tuple[ast.AST, str, str]]:
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, (*Function, ast.ClassDef)):
            if node.name.startswith("_") and not node.name.endswith("__"):
                continue
            if docstring := ast.get_docstring(node):
                yield node, node.name, docstring
            if isinstance(node, ast.ClassDef):
                yield from _of_members(node)
        elif not isinstance(node, ast.Lambda):
            yield from _of_members(node)


def _faults(docstring: str) -> Iterator[str]:
    first, *rest = docstring.split("\n")
    if not first.endswith((".", ":")):
        yield f"begins with '{first}', which does not end as a sentence does"
    elif rest and rest[0]:
        yield "has a first sentence of more than one line"
    found = [(match, line) for match, line in ((HEADING.search(line), line) for line in rest) if match]
    for match, line in found:
        name, text = match.groups()
        if name in SYNONYMS:
            yield f"has a section '{name}', which is called '{SYNONYMS[name]}'"
        elif text or match.start():
            yield f"says '{line.strip()}': '{name}:' stands on a line of its own"
    order = [SECTIONS.index(match[1]) for match, _ in found if match[1] in SECTIONS]
    if order != sorted(set(order)):
        yield f"has its sections in the order {', '.join(SECTIONS[i] for i in order)}; it is {', '.join(SECTIONS)}"

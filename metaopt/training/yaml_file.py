"""Read YAML files that may come from strangers: nothing is made of one before its extent is known."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from ..core import MetaoptError
from ..files import read_bytes
from ..foundation.literals import is_lost, refusal

LARGEST = 2**20  # bytes
MOST_ENTRIES = 100_000  # with every alias counted as often as it is used
DEEPEST = 50
FLOAT = "tag:yaml.org,2002:float"
DIGITS = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")  # none of base 60, nor .inf and .nan


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds: numbers, texts, booleans and null, in lists and mappings with texts as keys.

    Args:
        path: The file.

    Returns:
        What it holds, which JSON can hold too.

    Raises:
        MetaoptError: The file cannot be read, is not YAML, refers to itself, is too large with all of its aliases, or
            holds what JSON cannot hold.
    """
    import yaml

    try:
        text = read_bytes(path, LARGEST).decode()
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _extent(node, {}, str(path))
        _check_numbers(node, set(), str(path))
        found = None if node is None else loader.construct_document(node)
    except OSError as error:
        raise MetaoptError(f"Cannot read the recipe {path}: {error.strerror or error}.") from error
    except RecursionError as error:
        raise MetaoptError(f"{path} is nested more deeply than any recipe.") from error
    except MetaoptError:
        raise
    except Exception as error:  # such as a date that there is not, which PyYAML reports by a ValueError
        raise MetaoptError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    _check_plain(found, "", str(path))
    return found


def _extent(node: Any, known: dict[int, tuple[int, int]], path: str) -> tuple[int, int]:
    """Return how many entries a node has, and how deeply they are nested; ``known`` holds those of finished nodes."""
    if node is None or not isinstance(node.value, list):
        return 1, 0
    if id(node) not in known:
        known[id(node)] = (0, 0)  # it is being counted
        parts = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        counted = [_extent(part, known, path) for part in parts]
        known[id(node)] = 1 + sum(n for n, _ in counted), 1 + max((d for _, d in counted), default=0)
    count, depth = known[id(node)]
    if not count:
        raise MetaoptError(f"{path} refers to itself by an alias, so it has no end; write it without.")
    if count > MOST_ENTRIES or depth > DEEPEST:
        raise MetaoptError(
            f"{path} has more than {MOST_ENTRIES:,} entries, each alias counted as often as it is used, or is nested "
            f"more than {DEEPEST} deep; no recipe needs that."
        )
    return count, depth


def _check_numbers(node: Any, seen: set[int], path: str) -> None:
    """Check that no number became 0 or infinite because float64 does not hold it."""
    if id(node) in seen or node is None:
        return
    seen.add(id(node))
    if isinstance(node.value, str):
        if node.tag == FLOAT and DIGITS.fullmatch(word := node.value.replace("_", "")) and is_lost(word, float(word)):
            raise MetaoptError(f"{path}, line {node.start_mark.line + 1}: {refusal(word)}.")
        return
    for entry in node.value:
        for part in entry if isinstance(entry, tuple) else (entry,):
            _check_numbers(part, seen, path)


def _check_plain(node: Any, place: str, path: str) -> None:
    """Check that a card can hold what the file says, before any work is done by it."""
    where = f"The entry {place.lstrip('.')} of {path}" if place else path
    if isinstance(node, dict):
        for key, value in node.items():
            if not isinstance(key, str):
                raise MetaoptError(f"{where} has the name {key!r:.40}, but names are texts; quote it.")
            _check_plain(value, f"{place}.{key:.40}", path)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            _check_plain(value, f"{place}.{index}", path)
    elif isinstance(node, float) and not math.isfinite(node):
        raise MetaoptError(f"{where} is {node}, which a card cannot hold; write a large number instead.")
    elif node is not None and not isinstance(node, bool | int | float | str):
        raise MetaoptError(
            f"{where} is a {type(node).__name__}, which a card cannot hold; write a text (in quotes) or a number."
        )

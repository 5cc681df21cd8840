"""Where a figure comes from: digests of what it was made from and of the code behind it, the commit, the processor.

Inputs are the files that a row reads: weights with their cards, data, the file that defines the row's function.
Code is every module of this repository that the benchmark imports, directly or through others. It is found by reading
import statements, also those inside functions, packages that are imported when they are first asked for (``mo.tasks``)
and modules that are named in strings (``"metaopt.models.rim"``), so that it is known without running anything. Source
counts without its comments, docstrings and blank lines.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from metaopt import MetaoptError
from metaopt.data import data_path

ROOT = Path(__file__).resolve().parent.parent
OURS = ("metaopt", "benchmarks")
DATA = "data:"  # what the name of a data set starts with; other names are paths in the repository
PACKAGES = (
    *("torch", "numpy", "scipy", "safetensors", "scikit-image", "scikit-learn", "torch-geometric"),
    *("higher", "torchopt", "bm3d", "pgmax", "pgmpy", "jax", "finufft", "radler"),
)
FEATURES = re.compile(r"(avx|amx|fma|f16c|sse4_2|asimd|sve|sme\d|bf16|i8mm)")
WRITTEN = ("benchmarks/results", "docs/images")  # by benchmarks, so that they make no tree dirty


def digest(content: Any) -> str:
    """Sixteen hexadecimal digits of what can be written as JSON; lists and tuples are the same."""
    plain = json.loads(json.dumps(content))
    return _hashed(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())


def name_of(read: str | Path) -> str:
    """The name under which a file (a ``Path``) or a data set (a string) is recorded."""
    if isinstance(read, str):
        return DATA + read
    path = read.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def file_digest(name: str) -> str | None:
    """Of a file or a whole folder, by its recorded name; None where it is not there.

    A weights file counts with its card, Python source without comments.
    """
    try:
        path = data_path(name.removeprefix(DATA)) if name.startswith(DATA) else ROOT / name
    except MetaoptError:
        return None
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return digest([[file.relative_to(path).as_posix(), _hashed(file.read_bytes())] for file in files])
    if not path.is_file():
        return None
    if path.suffix == ".py":
        return _hashed(bare(path.read_text()).encode())
    card = path.with_suffix(".json")
    with_card = path.suffix == ".safetensors" and card.is_file()
    return _hashed(path.read_bytes() + (card.read_bytes() if with_card else b""))


@cache
def bare(source: str) -> str:
    """Python source without comments, docstrings and blank lines."""
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                last = first.end_lineno or first.lineno
                lines[first.lineno - 1 : last] = [""] * (last - first.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def code_of(module: str) -> dict[str, str | None]:
    """The digests of a module of this repository and of all of its modules that it imports, by their files."""
    files = [_path_of(name).relative_to(ROOT).as_posix() for name in imported_by(module)]
    return {file: file_digest(file) for file in files}


def imported_by(module: str) -> list[str]:
    """The names of the modules of this repository that ``module`` needs, itself among them."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        for each in (".".join(parts[:i]) for i in range(1, len(parts) + 1)):
            if each not in found:
                found.add(each)
                waiting += _named_in(each)
    return sorted(found)


def _named_in(module: str) -> list[str]:
    """The modules of this repository that the source of ``module`` names."""
    path = _path_of(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return [found for name in _dotted_names(path.read_text(), package) for found in _longest(name)]


@cache
def _dotted_names(source: str, package: str) -> frozenset[str]:
    """All that a source may import, as full names: ``import``, ``from``, ``mo.tasks.x`` of an import, and strings."""
    nodes, found = list(_run(ast.parse(source))), set()
    bound: dict[str, str] = {}  # what an imported name stands for
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            bound |= {name.split(".")[0]: name.split(".")[0] for name in names}
            bound |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            bound |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and re.fullmatch(r"\w+(\.\w+)+", str(node.value)):
            names = [str(node.value)]
        else:
            continue
        found.update(names)
    return frozenset(found | {bound[first] + rest for first, rest in map(_chain, nodes) if first in bound})


def _chain(node: ast.AST) -> tuple[str, str]:
    """``a`` and ``.b.c`` of ``a.b.c``; the first is empty for any other expression."""
    rest = ""
    while isinstance(node, ast.Attribute):
        node, rest = node.value, f".{node.attr}{rest}"
    return (node.id, rest) if isinstance(node, ast.Name) else ("", "")


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, without what is there for type checkers alone."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield from _run(child)


def _longest(name: str) -> Iterator[str]:
    """The module of this repository that a dotted name is, or is something of; nothing where there is none."""
    parts = name.split(".")
    if parts[0] in OURS:
        for count in range(len(parts), 0, -1):
            if _path_of(".".join(parts[:count])).is_file():
                yield ".".join(parts[:count])
                return


def _path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def commit() -> str:
    """The commit that is checked out, with ``+dirty`` where files differ from it; ``unknown`` outside git."""
    try:
        elsewhere = [f":!{path}" for path in WRITTEN]
        changed = _git("status", "--porcelain", "--", ".", *elsewhere)
        return _git("rev-parse", "HEAD") + ("+dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def environment() -> dict[str, Any]:
    """Versions of Python and of the packages that are compared, and the processor."""
    return {"versions": _versions(), "processor": processor()}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor() -> dict[str, Any]:
    """Its model, the instructions for vectors and matrices that it has, its cores, and the threads that torch uses."""
    info = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    for line in info.read_text().splitlines() if info.exists() else ():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    return {
        "model": fields.get("model name") or platform.processor() or platform.machine(),
        "features": sorted(flag for flag in flags if FEATURES.match(flag)),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]

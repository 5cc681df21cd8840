"""Writes a page of the API reference for each public module, from its ``__all__``, so that the reference cannot rot.

A name that the package exports at its top is documented once, as ``metaopt.Name``, on the page of the module it comes
from; every other name as ``metaopt.module.Name``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import metaopt

PROGRAMS = {"metaopt.cli", "metaopt.__main__"}


def write(folder: Path) -> None:
    """Replace the pages in ``folder`` by those of the package as it is now."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    documented: set[int] = set()
    for module in sorted(_modules(), key=lambda module: (-module.__name__.count("."), module.__name__)):
        names = [name for name in public_names(module) if _claim(getattr(module, name), documented)]
        (folder / f"{module.__name__}.rst").write_text(_page(module, names))


def public_names(module: ModuleType) -> list[str]:
    """``__all__``, or without one the public names that the module defines; modules have pages of their own."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    return sorted(name for name in names if not isinstance(getattr(module, name), ModuleType))


def _modules() -> Iterator[ModuleType]:
    """The package, its folders at any depth, the files directly in it, and the modules that an ``__all__`` names."""
    found = {"metaopt"}
    for info in pkgutil.walk_packages(metaopt.__path__, "metaopt."):
        if info.ispkg or info.name.count(".") == 1:
            found.add(info.name)
    for name in sorted(found - PROGRAMS):
        module = importlib.import_module(name)
        members = [getattr(module, member) for member in getattr(module, "__all__", ())]
        found |= {member.__name__ for member in members if isinstance(member, ModuleType)}
    return (importlib.import_module(name) for name in sorted(found - PROGRAMS) if "._" not in name)


def _claim(value: object, documented: set[int]) -> bool:
    """Whether ``value`` has no entry yet; numbers and strings, which may be one object by chance, always get one."""
    if isinstance(value, int | float | str | tuple | None):
        return True
    new = id(value) not in documented
    documented.add(id(value))
    return new


def _page(module: ModuleType, names: list[str]) -> str:
    title = module.__name__
    entries = [f"   ~{_shortest(module, name)}" for name in names]
    table = [".. autosummary::", "   :toctree: ../names", "   :nosignatures:", "", *entries, ""] if entries else []
    # Not automodule: under it, autosummary refuses entries with their full name.
    return "\n".join([title, "=" * len(title), "", inspect.cleandoc(module.__doc__ or ""), "", *table])


def _shortest(module: ModuleType, name: str) -> str:
    at_top = getattr(metaopt, name, None) is getattr(module, name) and name in getattr(metaopt, "__all__", ())
    return f"metaopt.{name}" if at_top else f"{module.__name__}.{name}"

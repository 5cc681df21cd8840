"""Import what not everyone needs when it is asked for, and say in one sentence which package is missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from .errors import MetaoptError


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional package.

    Every optional package is imported by this function, where it is used, so that its absence is reported in one
    sentence.

    Args:
        module: The full name of the module, such as ``PIL.Image``.
        extra: The extra of this library that installs the package, such as ``pictures``.

    Returns:
        The module.

    Raises:
        MetaoptError: The package is not installed, or it is and cannot be imported.
    """
    package, remedy = module.partition(".")[0], f"pip install 'metaopt-torch[{extra}]'"
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError where a shared library of it is missing
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        what = "is not installed" if missing else f"cannot be imported ({error})"
        raise MetaoptError(f"This needs {package}, which {what}: {remedy}.") from error


def on_demand(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` of a package that imports some of its names when they are first asked for.

    It keeps the time of ``import metaopt`` within bounds. Type checkers find the names under ``TYPE_CHECKING``.

    Args:
        package: The name of the package.
        names: The module that each name is in, relative to the package, such as ``{"Name": ".module"}``.

    Returns:
        A function of the name.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(names[name], package), name)

    return find

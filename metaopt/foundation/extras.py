"""Import the packages that not everyone has, and say in one sentence which one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

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

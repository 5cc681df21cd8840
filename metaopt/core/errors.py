"""Define the library's one exception and its warning, and report missing optional packages."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType


class MetaoptError(ValueError):
    """This error says that a request cannot be met; its message names the cause, the alternatives and the remedy."""


class MetaoptWarning(UserWarning):
    """This warning says that a result is returned, but that its user should check it."""


def warn(message: str) -> None:
    """Warn the caller of the function that calls this one."""
    warnings.warn(message, MetaoptWarning, stacklevel=4)


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

"""The one exception this library raises on purpose, its warning, and what says that an optional package is missing."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType


class MetaoptError(ValueError):
    """A request that cannot be met; its message names the cause, the alternatives and the remedy."""


class MetaoptWarning(UserWarning):
    """A result that is returned, but that its user should look at twice."""


def warn(message: str) -> None:
    """Warn the caller's caller."""
    warnings.warn(message, MetaoptWarning, stacklevel=4)


def require(module: str, extra: str) -> ModuleType:
    """Import a module of an optional package.

    Every optional package is imported by this function, where it is used, so that a missing one is one sentence.

    Args:
        module: its full name, such as ``PIL.Image``.
        extra: the extra of this library that installs it, such as ``pictures``.

    Raises:
        MetaoptError: the package is not installed, or it is and cannot be imported.
    """
    package, remedy = module.partition(".")[0], f"pip install 'metaopt-torch[{extra}]'"
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError where a shared library of it is missing
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        what = "is not installed" if missing else f"cannot be imported ({error})"
        raise MetaoptError(f"This needs {package}, which {what}: {remedy}.") from error

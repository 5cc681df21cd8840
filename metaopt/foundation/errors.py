"""Define the library's one exception and its warning."""

from __future__ import annotations

import warnings


class MetaoptError(ValueError):
    """This error says that a request cannot be met; its message names the cause, the alternatives and the remedy."""


class MetaoptWarning(UserWarning):
    """This warning says that a result is returned, but that its user should check it."""


def warn(message: str) -> None:
    """Warn the caller of the function that calls this one."""
    warnings.warn(message, MetaoptWarning, stacklevel=4)

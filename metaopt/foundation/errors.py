"""Define the library's one exception and its warning."""

from __future__ import annotations

import sys
import warnings

OURS = (__name__.partition(".")[0], "torch")  # packages whose lines a user has not written


class MetaoptError(ValueError):
    """This error says that a request cannot be met; its message names the cause, the alternatives and the remedy."""


class MetaoptWarning(UserWarning):
    """This warning says that a result is returned, but that its user should check it."""


def warn(message: str) -> None:
    """Warn the caller of the function that calls this one."""
    warnings.warn(message, MetaoptWarning, stacklevel=4)


def warn_user(message: str) -> None:
    """Warn at the line outside of this library and torch that led here, however many calls lie between."""
    frame, level = sys._getframe(1), 2
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, MetaoptWarning, stacklevel=level)

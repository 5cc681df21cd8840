"""The one exception this library raises on purpose."""

from __future__ import annotations


class MetaoptError(ValueError):
    """A request that cannot be met; its message names the cause, the alternatives and the remedy."""


class MetaoptWarning(UserWarning):
    """A result that is returned, but that its user should look at twice."""

"""Give the library's one exception and its warning to whatever imports them from the core."""

from ..foundation.errors import MetaoptError, MetaoptWarning, warn

__all__ = ["MetaoptError", "MetaoptWarning", "warn"]

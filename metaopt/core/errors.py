"""Give the library's one exception and its warning to whatever imports them from the core."""

from ..errors import MetaoptError, MetaoptWarning, warn

__all__ = ["MetaoptError", "MetaoptWarning", "warn"]

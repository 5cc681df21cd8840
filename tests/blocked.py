"""Packages that seem not to be installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from typing import Any


class Blocked(DistributionFinder):
    """In the place of ``sys.meta_path``'s finders: none of them finds these packages."""

    def __init__(self, packages: Set[str], finders: Sequence[Any]) -> None:
        self.packages, self.finders = packages, finders

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """What the first finder finds that knows the module, unless it is blocked."""
        if name.partition(".")[0] in self.packages:
            return None
        return next(filter(None, (finder.find_spec(name, path, target) for finder in self.finders)), None)

    def find_distributions(self, *context: Any) -> Iterator[Distribution]:
        """The metadata of what is installed, blocked or not."""
        for finder in self.finders:
            if hasattr(finder, "find_distributions"):
                yield from finder.find_distributions(*context)

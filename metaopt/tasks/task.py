"""What a task is: a distribution of problems with their answers."""

from __future__ import annotations

from typing import Any, Protocol


class Task(Protocol):
    """``sample(seed)`` draws a batch: (problem, target). The same seed gives the same batch, on every machine."""

    def sample(self, seed: int) -> tuple[Any, Any]: ...

"""The training log: a CSV file, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core import MetaoptError

COLUMNS = ("update", "loss", "rate", "gradient_norm", "validation", "minutes")


class Log:
    """Appends rows to ``folder/log.csv``. Rows from after ``update``, of a run that was cut off, are dropped first."""

    def __init__(self, folder: Path, update: int):
        self.path = folder / "log.csv"
        try:
            kept = [row for row in read_log(self.path) if int(row["update"]) <= update] if self.path.exists() else []
            with self.path.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(kept)
        except OSError as error:
            raise MetaoptError(f"Cannot write the log {self.path}: {error}.") from error
        self._board = _tensorboard(folder)

    def write(self, row: Mapping[str, Any]) -> None:
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS, restval="").writerow(row)
        if self._board is not None:
            for name in set(row) - {"update"}:
                self._board.add_scalar(name, row[name], row["update"])


def read_log(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))

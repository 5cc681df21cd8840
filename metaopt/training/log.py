"""The training log: a CSV file, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core import MetaoptError
from ..files import replacing

COLUMNS = ("update", "loss", "rate", "gradient_norm", "validation", "minutes")


class Log:
    """Appends rows to ``folder/log.csv``. Rows from after ``update``, of a run that was cut off, are dropped first."""

    def __init__(self, folder: Path, update: int):
        self.path = folder / "log.csv"
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(row for row in read_log(self.path) if int(row["update"]) <= update)
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())
        self._board = _tensorboard(folder, update)

    def write(self, row: Mapping[str, Any]) -> None:
        try:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS, restval="").writerow(row)
        except OSError as error:
            raise MetaoptError(f"{self.path} cannot be written ({error.strerror}); free some room.") from error
        if self._board is not None:
            for name in set(row) - {"update"}:
                self._board.add_scalar(name, row[name], row["update"])


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows that were written whole; none where there is no such file."""
    try:
        lines = path.read_text().splitlines(keepends=True)
        rows = list(csv.DictReader(line for line in lines if line.endswith("\n")))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MetaoptError(f"The log {path} cannot be read: {error}.") from error
    if rows and tuple(rows[0]) != COLUMNS:
        raise MetaoptError(f"{path} is not the log of a training; train in a new folder, or remove it.")
    return rows


def _tensorboard(folder: Path, update: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=update + 1)

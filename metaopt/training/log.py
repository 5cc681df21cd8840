"""Log a training to a CSV file, and to TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core import MetaoptError
from ..files import read_bytes, replacing

LARGEST = 2**30  # bytes
COLUMNS: tuple[str, ...] = ("update", "loss", "rate", "gradient_norm", "validation", "minutes")


class Log:
    """Append rows to ``folder/log.csv`` and, where TensorBoard is installed, to ``folder/tensorboard``.

    Rows after ``update``, which a run that was cut off may have left, are dropped first.

    Args:
        folder: The folder of the training.
        update: The number of updates that are done.

    Raises:
        MetaoptError: The file cannot be read or written, or is not the log of a training.
    """

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
        """Append a row.

        Args:
            row: Values by their column.

        Raises:
            MetaoptError: The file cannot be written.
        """
        try:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS, restval="").writerow(row)
        except OSError as error:
            raise MetaoptError(f"{self.path} cannot be written ({error.strerror}); free some room.") from error
        if self._board is not None:
            for name in set(row) - {"update"}:
                self._board.add_scalar(name, row[name], row["update"])


def read_log(path: Path) -> list[dict[str, str]]:
    """Return the rows that were written completely, or none where there is no such file.

    Args:
        path: The CSV file.

    Returns:
        A list of rows, each a mapping from columns to texts.

    Raises:
        MetaoptError: The file cannot be read, or is not the log of a training.
    """
    try:
        lines = read_bytes(path, LARGEST).decode().splitlines(keepends=True)
        rows = list(csv.DictReader(line for line in lines if line.endswith("\n")))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MetaoptError(f"The log {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if rows and tuple(rows[0])[: len(COLUMNS)] != COLUMNS:
        raise MetaoptError(f"{path} is not the log of a training; train in a new folder, or remove it.")
    for number, row in enumerate(rows, 1):
        if not _is_row(row):
            raise MetaoptError(
                f"Row {number} of the log {path} is damaged; remove that line, or train in a new folder."
            )
    return rows


def _is_row(row: dict[str, str]) -> bool:
    if tuple(row) != COLUMNS or None in row.values():
        return False
    try:
        float(row["validation"] or 0)
    except ValueError:
        return False
    return row["update"].isascii() and row["update"].isdecimal() and len(row["update"]) < 20


def _tensorboard(folder: Path, update: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    path = folder / "tensorboard"
    try:
        return SummaryWriter(str(path), purge_step=update + 1)
    except OSError as error:
        raise MetaoptError(
            f"{path} cannot be written ({error.strerror or error}); remove it, or choose another folder."
        ) from error

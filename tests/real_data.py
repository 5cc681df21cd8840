"""Real data for tests, which are skipped where it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaopt.core import MetaoptError
from metaopt.data import data_path


def real_data(relative: str) -> Path:
    """The path of a folder or file of data; where it is missing the test is skipped, and says how to get it."""
    try:
        return data_path(relative)
    except MetaoptError as error:
        pytest.skip(str(error))

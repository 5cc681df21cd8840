"""Two processes train as one does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import metaopt as mo
from metaopt.training.distributed import Workers
from metaopt.training.log import read_log

from . import tiny

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, sys
from pathlib import Path
from tests.training import tiny
settings = tiny.Settings(updates=4, steps=(2, 4), clip=0.05, batches=int(sys.argv[2]))
tiny.run(Path(sys.argv[1]), tiny.network(seed=int(os.environ.get("RANK", "0"))), settings=settings)
"""


@pytest.mark.slow
@pytest.mark.parametrize("batches", [2, 4])
def test_two_processes_equal_one(tmp_path: Path, batches: int) -> None:
    """Even where the second process starts from other weights: the first one's count."""
    (tmp_path / "program.py").write_text(PROGRAM)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    command = [sys.executable, *launch, str(tmp_path / "program.py"), str(tmp_path / "two"), str(batches)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    settings = tiny.Settings(updates=4, steps=(2, 4), clip=0.05, batches=batches)
    tiny.run(tmp_path / "one", settings=settings)
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        one, two = (load_file(tmp_path / folder / name) for folder in ("one", "two"))
        assert one.keys() == two.keys()
        for key in one:
            torch.testing.assert_close(one[key], two[key], rtol=0, atol=1e-10, msg=key)
    rows = [read_log(tmp_path / folder / "log.csv") for folder in ("one", "two")]
    for ours, theirs in zip(*rows, strict=True):
        assert abs(float(ours["loss"]) - float(theirs["loss"])) < 1e-10
        assert abs(float(ours["validation"] or 0) - float(theirs["validation"] or 0)) < 1e-10


def test_batches_that_cannot_be_shared_evenly_are_refused() -> None:
    with pytest.raises(mo.MetaoptError, match=r"3 batches, which 2 processes.*multiple of 2"):
        Workers(0, 2).share(3)
    assert [list(Workers(rank, 2).share(4)) for rank in (0, 1)] == [[0, 2], [1, 3]]

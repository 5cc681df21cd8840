"""Cut off at any moment and started again, a training goes on to the same numbers; its files are always whole."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import metaopt as mo
from metaopt.training.log import Log, read_log
from metaopt.weights import load_tensors

from . import tiny

ROOT = Path(__file__).parents[2]


class Killed(BaseException):
    """What no handler of errors sees, as none sees a kill."""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    tiny.run(folder)
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    """The log but for the clock."""
    return [{k: v for k, v in row.items() if k != "minutes"} for row in read_log(folder / "log.csv")]


def assert_same_run(folder: Path, other: Path) -> None:
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        ours, theirs = load_file(folder / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
    assert rows(folder) == rows(other)
    assert not list(folder.glob(".*")), "a part of a file was left behind"


def test_an_unbroken_run_logs_every_update_once(unbroken: Path) -> None:
    assert [int(row["update"]) for row in rows(unbroken)] == list(range(1, 21))
    assert [int(row["update"]) for row in rows(unbroken) if row["validation"]] == [5, 10, 15, 20]


def test_a_run_killed_at_a_random_moment_ends_as_the_unbroken_one(unbroken: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.tiny", str(tmp_path), "0.03"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (tmp_path / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.8))  # how far it comes does not matter: every moment must do
    process.send_signal(signal.SIGKILL)
    process.wait()
    tiny.run(tmp_path)
    assert_same_run(tmp_path, unbroken)


@pytest.mark.parametrize("moment", [1, 2, 5])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_run_killed_while_it_writes_ends_as_the_unbroken_one(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, moment: int
) -> None:
    """Killed before the n-th time that a file is flushed, or put in its place."""
    original, calls = getattr(os, call), []

    def kill(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == moment:
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, kill)
        with pytest.raises(Killed):
            tiny.run(tmp_path)
    tiny.run(tmp_path)
    assert_same_run(tmp_path, unbroken)


def test_the_weights_are_written_before_the_checkpoint_that_calls_them_done(unbroken: Path) -> None:
    times = [(unbroken / f"{name}.safetensors").stat().st_mtime_ns for name in ("weights", "checkpoint")]
    assert times[0] < times[1]


def test_a_complete_run_started_again_changes_nothing(unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path, dirs_exist_ok=True)
    net, result = tiny.run(tmp_path)
    assert_same_run(tmp_path, unbroken)
    assert result["loss"] is None
    assert result["updates"] == 20
    assert result["validation"] == float(rows(unbroken)[-1]["validation"])
    average = load_file(unbroken / "weights.safetensors")
    assert all(torch.equal(p, average[n]) for n, p in net.named_parameters())


@pytest.mark.parametrize("harm", ["gone", "cut", "other"])
def test_a_complete_run_started_again_writes_weights_that_are_gone_or_damaged(
    unbroken: Path, tmp_path: Path, harm: str
) -> None:
    shutil.copytree(unbroken, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "weights.safetensors"
    whole = path.read_bytes()
    path.unlink()
    if harm != "gone":
        path.write_bytes(whole[:-9] if harm == "cut" else b"other")
    tiny.run(tmp_path)
    assert_same_run(tmp_path, unbroken)


def test_a_run_that_has_gone_further_than_asked_says_so(unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path, dirs_exist_ok=True)
    with pytest.warns(mo.MetaoptWarning, match="has made 20 updates already, more than the 10 that are asked for"):
        assert tiny.run(tmp_path, settings=dataclasses.replace(tiny.SETTINGS, updates=10))[1]["updates"] == 20


@pytest.mark.parametrize(
    "name",
    ["checkpoint.safetensors", "checkpoint.previous.safetensors", "weights.safetensors", "weights.json", "log.csv"],
)
def test_a_folder_where_a_file_goes_is_named_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(mo.MetaoptError, match=f"{name} is a folder, where the training writes a file; rename it"):
        tiny.run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("moment", range(1, 8))
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_the_last_good_checkpoint_survives_a_full_disk_at_any_moment(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, moment: int
) -> None:
    original, calls = getattr(os, call), []

    def fail(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) >= moment:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(mo.MetaoptError, match=r"cannot be written \(No space left on device\)"):
            tiny.run(tmp_path)
    kept = [tmp_path / name for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors")]
    updates = [load_tensors(path)[1]["update"] for path in kept if path.exists()]
    assert moment < 5 or updates, "a checkpoint was written before"
    assert calls
    assert not list(tmp_path.glob(".*.part"))
    tiny.run(tmp_path)
    assert_same_run(tmp_path, unbroken)


def test_what_a_killed_writer_left_is_cleared(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", ""])
    writer.wait()
    (tmp_path / f".checkpoint.safetensors.{writer.pid}.part").write_bytes(b"half")
    tiny.run(tmp_path, settings=tiny.Settings(updates=1, steps=(1, 1)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.safetensors",
        "log.csv",
        "weights.json",
        "weights.safetensors",
    ]


def test_rows_from_after_the_checkpoint_and_cut_rows_are_dropped(tmp_path: Path) -> None:
    Log(tmp_path, 0)
    whole = "".join(f"{u},0.5,0.1,1.0,,0.1\n" for u in (3, 6, 7))
    (tmp_path / "log.csv").write_text((tmp_path / "log.csv").read_text() + whole + "1,0.25")
    Log(tmp_path, 6)
    assert [row["update"] for row in read_log(tmp_path / "log.csv")] == ["3", "6"]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "\0\n\xff\n"])
def test_a_file_that_is_not_a_log_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(mo.MetaoptError, match=r"log\.csv"):
        tiny.run(tmp_path)


@pytest.mark.parametrize(
    ("net", "seed", "words"),
    [
        (lambda: tiny.network(hidden=4), 0, r"its network\.hidden is 3, but that of this one is 4"),
        (lambda: tiny.network().float(), 0, "belongs to another network"),
        (tiny.network, 1, "belongs to a training of seed 0, not 1"),
    ],
    ids=["features", "dtype", "seed"],
)
def test_a_checkpoint_of_another_training_is_refused(
    unbroken: Path, tmp_path: Path, net: Any, seed: int, words: str
) -> None:
    shutil.copytree(unbroken, tmp_path, dirs_exist_ok=True)
    with pytest.raises(mo.MetaoptError, match=words):
        tiny.run(tmp_path, net(), seed=seed)
    assert_same_run(tmp_path, unbroken)


@pytest.mark.parametrize("damage", ["cut", "foreign", "text", "folder"])
def test_a_checkpoint_that_cannot_be_read_is_named(unbroken: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.safetensors"
    if damage == "cut":
        path.write_bytes((unbroken / "checkpoint.safetensors").read_bytes()[:-100])
    elif damage == "foreign":
        save_file({"a": torch.zeros(2)}, path)
    elif damage == "text":
        path.write_text("not weights at all")
    else:
        path.mkdir()
    with pytest.raises(mo.MetaoptError, match=r"checkpoint\.safetensors"):
        tiny.run(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 64 KiB; only root may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_checkpoint_whole(small_disk: Path) -> None:
    settings = tiny.Settings(updates=1, steps=(1, 1))
    tiny.run(small_disk, tiny.network(hidden=1), settings=settings)
    before = {path.name: path.read_bytes() for path in small_disk.iterdir()}
    room = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize - 4096))
    longer = tiny.Settings(updates=4, steps=(1, 1))
    with pytest.raises(mo.MetaoptError, match=r"cannot be written \(No space left on device\); free some room"):
        tiny.run(small_disk, tiny.network(hidden=1), settings=longer)
    (small_disk / "filler").unlink()
    assert sorted(path.name for path in small_disk.iterdir()) == sorted(before)
    assert (small_disk / "checkpoint.safetensors").read_bytes() == before["checkpoint.safetensors"]
    assert load_tensors(small_disk / "checkpoint.safetensors")[1]["update"] == 1


def test_a_log_on_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    log.path = Path("/dev/full")
    with pytest.raises(mo.MetaoptError, match=r"/dev/full cannot be written \(No space left on device\)"):
        log.write({"update": 1})


def test_a_folder_that_cannot_be_made_is_a_sentence() -> None:
    with pytest.raises(mo.MetaoptError, match=r"/proc/metaopt cannot be made .*; choose another"):
        tiny.run(Path("/proc/metaopt"))

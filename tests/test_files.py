"""Files that many write at once are whole, folders have one writer, and what was left behind is cleared."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import metaopt as mo
from metaopt.files import LOCK, clear_parts, locked, read_bytes, replacing

pytest.importorskip("fcntl")


def in_threads(count: int, work) -> list[BaseException]:
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(index: int) -> None:
        start.wait()
        try:
            work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_threads_that_write_one_file_leave_the_whole_file_of_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write(index: int) -> None:
        for _ in range(20):
            with replacing(path) as file:
                for _ in range(50):
                    file.write(bytes([index]) * 100)

    assert in_threads(8, write) == []
    content = path.read_bytes()
    assert len(content) == 5000
    assert len(set(content)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_file_before_is_kept_where_that_is_asked(tmp_path: Path) -> None:
    for text in (b"first", b"second", b"third"):
        with replacing(tmp_path / "new", previous=tmp_path / "old") as file:
            file.write(text)
    assert (tmp_path / "new").read_bytes() == b"third"
    assert (tmp_path / "old").read_bytes() == b"second"
    with pytest.raises(RuntimeError), replacing(tmp_path / "new", previous=tmp_path / "old") as file:
        raise RuntimeError
    assert (tmp_path / "new").read_bytes() == b"third"
    assert (tmp_path / "old").read_bytes() == b"second"


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_parts_of_processes_that_are_gone_are_cleared(tmp_path: Path) -> None:
    names = {
        f".w.{gone()}.part": False,
        f".w.{gone()}-1f-0a0b0c0d.part": False,
        f".w.{os.getpid()}-1f-0a0b0c0d.part": True,
    }
    names |= {f".w.{os.getpid()}.part": True, ".w.part": True, ".w.x-1-2.part": True, "w.1.part": True}
    for name in names:
        (tmp_path / name).touch()
    clear_parts(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names


def test_a_folder_has_one_writer_and_is_free_when_it_ends(tmp_path: Path) -> None:
    with locked(tmp_path):
        with (
            pytest.raises(mo.MetaoptError, match=rf"is in use: process {os.getpid()} on .*choose another folder"),
            locked(tmp_path),
        ):
            pass
        code = f"from pathlib import Path\nfrom metaopt.files import locked\nwith locked(Path({str(tmp_path)!r})): pass"
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert f"process {os.getpid()} on" in second.stderr
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_want_a_folder_at_once_one_has_it(tmp_path: Path) -> None:
    holds: list[int] = []
    done = threading.Barrier(8)

    def hold(index: int) -> None:
        try:
            with locked(tmp_path):
                holds.append(index)
                done.wait()
        except mo.MetaoptError:
            done.wait()

    assert in_threads(8, hold) == []
    assert len(holds) == 1


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom metaopt.files import locked\n"
        f"with locked(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text().split()[0] == str(os.getpid())


def test_no_more_is_read_than_a_file_should_hold(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(mo.MetaoptError, match="has more than 4 bytes"):
        read_bytes(tmp_path / "file", 4)
    if Path("/dev/zero").exists():
        with pytest.raises(mo.MetaoptError, match="has more than 1,000 bytes"):
            read_bytes(Path("/dev/zero"), 1000)
    with pytest.raises(OSError, match="no name of a file"):
        read_bytes(Path("a\0b"), 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_that_nobody_writes_to_is_empty_and_one_with_a_writer_is_read_whole(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert read_bytes(pipe, 10) == b""
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY)
    os.write(writer, b"words")
    threading.Timer(0.05, lambda: os.close(writer)).start()
    assert read_bytes(pipe, 10) == b"words"
    os.close(reader)

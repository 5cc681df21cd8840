"""Fetching from a server that does its work, breaks off, lies or is not there: what counts as there is right."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import metaopt as mo
from metaopt.cli import main
from metaopt.data import data_path, fetch_source, sources
from metaopt.data.download import PIECE, Download, _is_loopback

from .server import Behaviour, serving, write_registry

pytest.importorskip("pooch")

LARGE = "sub folder/large.bin"
FILES = {"small.txt": b"a few bytes", LARGE: random.Random(0).randbytes(300_000)}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    served = {path.replace(" ", "%20"): content for path, content in FILES.items()}
    with serving(served) as behaviour:
        monkeypatch.setattr(sources, "REGISTRY", write_registry(tmp_path / "registry", behaviour.url, FILES))
        monkeypatch.delenv("METAOPT_DATA", raising=False)
        yield behaviour


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def refused(data: Path) -> str:
    with pytest.raises(mo.MetaoptError) as caught:
        fetch_source("made/up", data)
    return str(caught.value)


def there(data: Path) -> dict[str, bytes]:
    """Every file below the data set, what is hidden too."""
    folder = data / "made" / "up"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_data_set_lies_as_its_makers_have_it_and_is_not_fetched_twice(
    server: Behaviour, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [p.name for p in fetch_source("made/up", data)] == ["small.txt", "large.bin"]
    found = there(data)
    assert b"Licence: CC0" in found.pop("SOURCE.txt")
    assert found == FILES
    assert len(server.asked) == 2
    monkeypatch.setitem(sys.modules, "pooch", None)  # which is not needed where there is nothing to fetch
    monkeypatch.setenv("METAOPT_DATA", str(data))
    assert fetch_source("made/up/") == []
    assert len(server.asked) == 2
    assert data_path("made/up").is_dir()


def test_only_what_is_missing_is_fetched(server: Behaviour, data: Path) -> None:
    (data / "made" / "up").mkdir(parents=True)
    (data / "made" / "up" / "small.txt").write_bytes(FILES["small.txt"])
    assert [p.name for p in fetch_source("made/up", data)] == ["large.bin"]
    assert [path for path, _ in server.asked] == ["/sub%20folder/large.bin"]


def test_a_connection_that_breaks_off_is_taken_up_where_it_ended(server: Behaviour, data: Path) -> None:
    server.breaks_after = 6 * PIECE
    fetch_source("made/up", data)
    assert there(data)[LARGE] == FILES[LARGE]
    assert [wanted for _, wanted in server.asked] == [None, None, *(f"bytes={6 * k * PIECE}-" for k in (1, 2, 3))]


def test_a_later_call_goes_on_and_nothing_half_written_has_a_name(server: Behaviour, data: Path) -> None:
    server.breaks_after = 2 * PIECE
    said = refused(data)
    assert "large.bin broke off after 163,840 of 300,000 bytes (the connection was lost)" in said
    assert "fetch again to go on" in said
    assert sorted(there(data)) == ["small.txt", f"sub folder/.large.bin.{digest(FILES[LARGE])[:8]}.part"]
    server.breaks_after = None
    server.asked.clear()
    fetch_source("made/up", data)
    assert server.asked == [("/sub%20folder/large.bin", "bytes=163840-")]
    assert sorted(there(data)) == ["SOURCE.txt", "small.txt", LARGE]
    assert there(data)[LARGE] == FILES[LARGE]


@pytest.mark.parametrize("fault", ["no ranges", "another range", "a part of something longer"])
def test_where_going_on_is_not_possible_it_starts_anew(server: Behaviour, data: Path, fault: str) -> None:
    part = data / "made" / "up" / "sub folder" / f".large.bin.{digest(FILES[LARGE])[:8]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(FILES[LARGE][:1000])
    if fault == "no ranges":
        server.takes_ranges = False
    elif fault == "another range":
        server.shift = -10
    else:
        part.write_bytes(bytes(299_999))
        server.files["sub%20folder/large.bin"] = FILES[LARGE][:1000]
        assert "is another file: its sha256 is" in refused(data)
        server.files["sub%20folder/large.bin"] = FILES[LARGE]
    fetch_source("made/up", data)
    assert there(data)[LARGE] == FILES[LARGE]
    assert not part.exists()


def test_a_server_that_closes_without_saying_the_length_is_asked_again(server: Behaviour, data: Path) -> None:
    server.says_length, server.breaks_after = False, 160_000
    fetch_source("made/up", data)
    assert there(data)[LARGE] == FILES[LARGE]
    assert server.asked[-1][1] == "bytes=160000-"


@pytest.mark.parametrize("kind", ["the same length", "shorter"])
def test_a_lie_about_the_digest_is_told_with_both_and_nothing_is_kept(server: Behaviour, data: Path, kind: str) -> None:
    lie = bytes(300_000 if kind == "the same length" else 1000)
    server.files["sub%20folder/large.bin"] = lie
    said = refused(data)
    assert digest(lie) in said
    assert digest(FILES[LARGE]) in said
    assert "Nothing of it was kept; look at nowhere" in said
    assert sorted(there(data)) == ["small.txt"]


def test_a_part_that_was_spoilt_is_thrown_away_and_the_next_call_succeeds(server: Behaviour, data: Path) -> None:
    part = data / "made" / "up" / "sub folder" / f".large.bin.{digest(FILES[LARGE])[:8]}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1000))
    assert "is another file" in refused(data)
    assert not part.exists()
    fetch_source("made/up", data)
    assert there(data)[LARGE] == FILES[LARGE]


def test_a_server_that_sends_more_than_it_should_is_stopped(server: Behaviour, data: Path) -> None:
    server.files["small.txt"] = bytes(1 << 22)
    assert "sends more than the 11 bytes that it should. Nothing of it was kept" in refused(data)
    assert there(data) == {}


def test_what_the_server_does_not_have_is_a_sentence(server: Behaviour, data: Path) -> None:
    del server.files["small.txt"]
    assert refused(data) == (
        f"{server.url}small.txt is refused with 404 (Not Found). Nothing of it was kept; look at nowhere."
    )


def test_a_server_that_is_not_there_is_a_sentence(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({}) as behaviour:
        url = behaviour.url
    monkeypatch.setattr(sources, "REGISTRY", write_registry(tmp_path / "registry", url, FILES))
    assert refused(data) == (
        f"{url}small.txt cannot be downloaded (no connection); check the network, and fetch again to go on from there."
    )


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_an_interruption_leaves_only_a_part_and_the_next_call_goes_on(server: Behaviour, data: Path) -> None:
    over = threading.Event()

    def interrupt() -> None:
        if len(server.asked) == 2:
            while not any(content for path, content in there(data).items() if path.endswith(".part")):
                time.sleep(0.01)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            over.wait(10)

    server.midway = interrupt
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
    try:
        assert main(["data", "fetch", "made/up", "--to", str(data)]) == 130
    finally:
        over.set()
        signal.signal(signal.SIGINT, before)
    kept = there(data)
    assert sorted(kept) == ["small.txt", f"sub folder/.large.bin.{digest(FILES[LARGE])[:8]}.part"]
    server.midway = None
    fetch_source("made/up", data)
    assert there(data)[LARGE] == FILES[LARGE]
    assert sorted(there(data)) == ["SOURCE.txt", "small.txt", LARGE]


def test_no_proxy_stands_between_this_machine_and_itself(
    server: Behaviour, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    fetch_source("made/up", data)
    assert len(server.asked) == 2
    here = ("http://127.0.0.1:80/a", "http://127.1.2.3/", "http://[::1]:8000/", "http://localhost/a")
    elsewhere = ("https://raw.githubusercontent.com/a", "http://10.0.0.1/", "http://localhost.example.org/", "http:///")
    assert [_is_loopback(url) for url in here + elsewhere] == [True] * 4 + [False] * 4


def test_a_file_that_is_another_one_is_left_alone(server: Behaviour, data: Path) -> None:
    (data / "made" / "up").mkdir(parents=True)
    (data / "made" / "up" / "small.txt").write_bytes(b"my own notes")
    said = refused(data)
    assert f"its sha256 is {digest(b'my own notes')}, not {digest(FILES['small.txt'])}" in said
    assert "move it away and fetch again" in said
    assert there(data) == {"small.txt": b"my own notes"}
    assert server.asked == []


def test_a_folder_in_the_place_of_a_file_and_the_other_way_round_are_sentences(server: Behaviour, data: Path) -> None:
    (data / "made" / "up" / "small.txt").mkdir(parents=True)
    assert "small.txt is no file, but made/up has one of that name" in refused(data)
    (data / "made" / "up" / "small.txt").rmdir()
    (data / "made" / "up" / "sub folder").write_text("a file")
    assert "The folder" in (said := refused(data))
    assert "sub folder cannot be made" in said
    assert server.asked == []


def test_a_folder_that_cannot_be_written_to_is_a_sentence(
    server: Behaviour, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Download, "_write", full)
        assert "small.txt cannot be written (No space left on device); free some room" in refused(data)
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    data.chmod(0o500)
    assert "cannot be made (Permission denied)" in refused(data)


def test_names_and_folders_that_are_missing_are_sentences(server: Behaviour) -> None:
    with pytest.raises(mo.MetaoptError, match=r"Say where made/up goes: give --to DIR, or set METAOPT_DATA"):
        fetch_source("made/up")
    with pytest.raises(mo.MetaoptError, match=r"No data set is called 'up'; did you mean made/up\?"):
        fetch_source("up", "anywhere")
    with pytest.raises(mo.MetaoptError, match=r"No data set is called '\.\./x'; there are made/up\."):
        fetch_source("../x", "anywhere")


def test_what_is_not_served_is_named_with_what_to_do_and_checked_once_it_is_there(
    server: Behaviour, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {"unserved": [LARGE], "by_hand": "Copy it from the disk"}
    monkeypatch.setattr(sources, "REGISTRY", write_registry(tmp_path / "again", server.url, FILES, **steps))
    said = refused(data)
    assert said == f"made/up lacks {LARGE}. Copy it from the disk. The folder that it belongs into is {data}/made/up."
    assert [path for path, _ in server.asked] == ["/small.txt"]
    path = data / "made" / "up" / LARGE
    path.parent.mkdir()
    path.write_bytes(b"something else")
    assert "is not the file of made/up" in refused(data)
    path.write_bytes(FILES[LARGE])
    assert fetch_source("made/up", data) == []
    derived = write_registry(tmp_path / "derived", server.url, {}, by_hand="Crop it")
    monkeypatch.setattr(sources, "REGISTRY", derived)
    assert "made/up is not served as it is used here. Crop it." in refused(data)

"""``metaopt data``: what it lists, and that the licence is shown before anything is downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaopt.cli import main
from metaopt.data import read_source, source_names, sources

from ..data.server import serving, write_registry


def test_list_names_each_data_set_with_its_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    plain = " ".join(out.split())
    for name in source_names():
        assert f"\n{name}  (" in f"\n{out}"
        assert f"licence: {read_source(name).licence}" in plain
    assert max(map(len, out.splitlines())) <= 120
    assert main(["data", "list", "set5"]) == 0
    assert capsys.readouterr().out.startswith("natural/set5  (5 files, 1.7 MB)\n")
    assert main(["data", "list", "natural/sett5"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_fetch_shows_the_licence_first_and_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pooch")
    shown = []
    with serving({"a": b"content"}) as server:
        server.midway = lambda: shown.append(capsys.readouterr().out)
        monkeypatch.setattr(sources, "REGISTRY", write_registry(tmp_path / "registry", server.url, {"a": b"content"}))
        folder = tmp_path / "data" / "made" / "up"
        fetch = ["data", "fetch", "made/up", "--to", str(tmp_path / "data")]
        assert main(fetch) == 0
        assert "licence: CC0" in shown[0]
        out, err = capsys.readouterr()
        assert out == f"Wrote 1 of 1 file, 7 bytes in {folder}.\n"
        assert "made/up: 100%" in err
        assert main(fetch) == 0
        assert capsys.readouterr().out.endswith(f"Had already 1 file, 7 bytes in {folder}.\n")
        (folder / "a").unlink()
        server.files.clear()
        assert main(fetch) == 2
        out, err = capsys.readouterr()
        assert "licence: CC0" in out
        assert err.endswith(
            "metaopt: " + f"{server.url}a is refused with 404 (Not Found). Nothing of it was kept; look at nowhere.\n"
        )


def test_without_a_command_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["data"])
    assert "metaopt data --help" in capsys.readouterr().err

"""Files of numbers as people have them: commented, compressed, from Windows, in lower case, cut off, or another."""

from __future__ import annotations

import bz2
import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metaopt as mo
from metaopt.cli import main
from metaopt.data import read_alist, read_evidence, read_sparse_alist, read_uai
from metaopt.tasks.decoding import code_graph

MODEL = "MARKOV\n2\n2 2\n1\n2 0 1\n4\n1 2 3 4\n"

DRESSED: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "with a byte-order mark": lambda text: text.encode("utf-8-sig"),
    "in UTF-16": lambda text: text.encode("utf-16"),
    "in lower case": lambda text: text.lower().encode(),
    "from Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "from an old Mac": lambda text: text.replace("\n", "\r").encode(),
    "compressed": lambda text: gzip.compress(text.encode()),
    "compressed by bzip2": lambda text: bz2.compress(text.encode()),
    "commented": lambda text: ("# a model\nc of two\n// variables\n" + text.replace("\n", " # so\n", 3)).encode(),
    "commented, from Windows": lambda text: ("c\r\nc x\r\n" + text.replace("\n", " // so\r\n")).encode(),
}


@pytest.mark.parametrize("name", DRESSED)
def test_a_model_is_read_however_it_is_dressed(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.uai").write_bytes(DRESSED[name](MODEL))
    model = read_uai(tmp_path / "model.uai")
    assert model.kind == "MARKOV"
    assert model.tables[0].tolist() == [[1, 2], [3, 4]]
    (tmp_path / "some.evid").write_bytes(DRESSED[name]("1\n1 0\n"))
    assert read_evidence(tmp_path / "some.evid", [2, 2]) == {1: 0}


def test_lines_are_counted_through_comments(tmp_path: Path) -> None:
    (tmp_path / "a.uai").write_text("# one\nc two\n" + MODEL.replace("1 2 3 4", "1 2 // half\n3 x"))
    with pytest.raises(mo.MetaoptError, match="line 10: 'x' is not a number"):
        read_uai(tmp_path / "a.uai")


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("1 1 0 1", [{0: 1}]),
        ("1 0 1", [{0: 1}]),
        ("2\n1 0 1\n2 0 0 1 1", [{0: 1}, {0: 0, 1: 1}]),
        ("2 0 1 1 0", [{0: 1, 1: 0}]),
    ],
)
def test_evidence_is_read_in_both_forms_and_sample_by_sample(tmp_path: Path, text: str, samples: list) -> None:
    (tmp_path / "a.evid").write_text(text)
    assert [read_evidence(tmp_path / "a.evid", [2, 2], k) for k in range(len(samples))] == samples
    if len(samples) == 1:
        assert read_evidence(tmp_path / "a.evid") == samples[0]
    else:
        with pytest.raises(mo.MetaoptError, match=r"holds 2 samples .* --sample 0 to 1"):
            read_evidence(tmp_path / "a.evid")
    with pytest.raises(mo.MetaoptError, match=f"no sample {len(samples)}"):
        read_evidence(tmp_path / "a.evid", sample=len(samples))


def test_the_command_answers_for_the_sample_that_is_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.uai").write_text(MODEL)
    (tmp_path / "a.evid").write_text("2\n1 0 0\n1 0 1\n")
    command = ["infer", str(tmp_path / "a.uai"), "--evidence", str(tmp_path / "a.evid"), "--task", "mpe"]
    assert main(command) == 2
    assert "--sample" in capsys.readouterr().err
    assert main([*command, "--sample", "1", "--memory", "1M"]) == 0
    assert capsys.readouterr().out == "MPE\n2 1 1\n"


WRONG: dict[str, Callable[[Path], Any]] = {
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    "nothing": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "a cut archive": lambda path: path.write_bytes(gzip.compress(MODEL.encode())[:-9]),
    "a damaged archive": lambda path: path.write_bytes(b"BZh9" + b"x" * 40),
    "negative": lambda path: path.write_text(MODEL.replace("3", "-3")),
    "not a number": lambda path: path.write_text(MODEL.replace("3", "nan")),
    "one number more": lambda path: path.write_text(MODEL + " 5"),
    "cut off": lambda path: path.write_text(MODEL[:-3]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_refused_in_a_sentence_that_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    WRONG[name](tmp_path / "it")
    for read in (read_uai, read_alist, read_sparse_alist):
        with pytest.raises(mo.MetaoptError, match="it"):
            read(tmp_path / "it")
    if name != "nothing":
        with pytest.raises(mo.MetaoptError, match="it"):
            read_evidence(tmp_path / "it")
    assert main(["infer", str(tmp_path / "it"), "--task", "PR"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def regular_code(bits: int) -> str:
    """Every bit is in 3 checks of 6 bits: bit j in the checks that its third, in three orders, belongs to."""
    checks, rng = bits // 2, np.random.default_rng(0)
    orders = [rng.permutation(bits) // 6 + k * (bits // 6) for k in range(3)]
    of_bits = np.stack(orders, 1) + 1
    lists: list[list[int]] = [[] for _ in range(checks)]
    for bit, row in enumerate(of_bits.tolist()):
        for check in row:
            lists[check - 1].append(bit + 1)
    rows = [[bits, checks], [3, 6], [3] * bits, [6] * checks, *of_bits.tolist(), *lists]
    return "\n".join(" ".join(map(str, row)) for row in rows) + "\n"


def test_a_long_code_takes_the_memory_of_its_ones(tmp_path: Path) -> None:
    (tmp_path / "code").write_text(regular_code(6000))
    tracemalloc.start()
    checks = read_sparse_alist(tmp_path / "code")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert checks.shape == (3000, 6000)
    assert most < 3000 * 6000 / 2, "bytes, of what a dense matrix takes 18 million"
    graph = code_graph(checks, torch.randn(1, 6000, generator=torch.Generator().manual_seed(0)))
    assert [group.shape() for group in graph.factors] == [(2,) * 6]
    small = regular_code(24)
    (tmp_path / "code").write_text(small)
    dense, sparse = torch.from_numpy(read_alist(tmp_path / "code")), read_sparse_alist(tmp_path / "code")
    assert torch.equal(sparse.to_dense(), dense)
    one, other = (code_graph(c, torch.zeros(1, 24)).factors[0].variables for c in (dense, sparse))
    assert torch.equal(one, other)

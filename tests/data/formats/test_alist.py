"""Alist files: the matrix that is listed twice in them, the published code, and what is said of malformed ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.data import read_alist, read_generator

from ...real_data import real_data


def alist(matrix: np.ndarray, padded: bool) -> str:
    """The file of a matrix, written from the format's definition."""
    lists = [[[int(i) + 1 for i in np.flatnonzero(row)] for row in side] for side in (matrix.T, matrix)]
    degrees = [[len(row) for row in side] for side in lists]
    largest = [max(side) for side in degrees]
    filled = [
        [row + [0] * (most - len(row)) if padded or not row else row for row in side]
        for side, most in zip(lists, largest, strict=True)
    ]
    filled = [[row or [0] for row in side] for side in filled]
    rows = [[*matrix.T.shape], largest, *degrees, *filled[0], *filled[1]]
    return "# a comment\n" + "\n".join(" ".join(map(str, row)) for row in rows) + "\n"


@given(st.integers(1, 4), st.integers(1, 6), st.booleans(), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_the_matrix_is_read_with_and_without_padding(
    tmp_path: Path, checks: int, bits: int, padded: bool, data: st.DataObject
) -> None:
    entries = data.draw(st.lists(st.integers(0, 1), min_size=checks * bits, max_size=checks * bits))
    matrix = np.array(entries, np.uint8).reshape(checks, bits)
    (tmp_path / "a").write_text(alist(matrix, padded))
    found = read_alist(tmp_path / "a")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, matrix)


GOOD = alist(np.array([[1, 1, 0], [0, 1, 1]]), padded=True)  # line 1 is a comment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file ends before the numbers of bits and checks"),
        ("3 two", "line 1: 'two' is not a whole number"),
        ("3 -2", "line 1: '-2' is not a whole number"),
        ("3 2 1", "line 1: the numbers of bits and checks are 2 numbers, but 3"),
        ("999999999 999999999\n", "line 1: 999999999 checks of 999999999 bits"),
        ("0 2\n", "line 1: 2 checks of 0 bits"),
        (GOOD[: GOOD.rindex("2 3")], "line 9: the file has 8 lines, but 3 bits and 2 checks need 9"),
        (GOOD + "1 2\n", "line 11: the file has 10 lines"),
        (GOOD.replace("\n1 2 1\n", "\n1 2\n"), "line 4: the degrees of 3 bits are 3 numbers, but 2"),
        (GOOD.replace("\n1 2 1\n", "\n1 1 1\n"), "line 7: the list has 2 different numbers, but its degree is 1"),
        (
            GOOD.replace("\n2 2\n1", "\n1 2\n1", 1),
            "line 7: the list has 2 different numbers, but its degree is 2 of at",
        ),
        (GOOD.replace("\n2 0\n1 2\n", "\n2 0\n1 1\n"), "line 9: the list has 1 different numbers, but its degree is 2"),
        (GOOD.replace("\n2 3\n", "\n2 4\n"), "line 10: 4 is in the list, but there are 3"),
        (GOOD.replace("\n2 3\n", "\n1 3\n"), "line 10: check 2 has other bits here"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.alist").write_text(GOOD)
    read_alist(tmp_path / "bad.alist")
    (tmp_path / "bad.alist").write_text(text)
    with pytest.raises(mo.MetaoptError, match=rf"bad\.alist, {message}"):
        read_alist(tmp_path / "bad.alist")


def test_whole_numbers_keep_their_value_however_many_zeros_they_begin_with(tmp_path: Path) -> None:
    padded = "\n".join(" ".join("0" * 40 + word for word in line.split()) for line in GOOD.splitlines()[1:])
    (tmp_path / "a").write_text(padded)
    (tmp_path / "b").write_text(GOOD)
    np.testing.assert_array_equal(read_alist(tmp_path / "a"), read_alist(tmp_path / "b"))


@pytest.mark.parametrize("word", ["2.0", "1e0", "1e400", "1e-400", "nan", "inf", "+1", "1_0", "0x1", "\u0662"])
@pytest.mark.parametrize("line", [0, 1, 4])
def test_what_is_not_written_as_a_whole_number_is_named(tmp_path: Path, word: str, line: int) -> None:
    lines = GOOD.splitlines()[1:]
    lines[line] = f"{word} {lines[line].split(' ', 1)[1]}"
    (tmp_path / "a").write_text("\n".join(lines))
    with pytest.raises(mo.MetaoptError, match=rf"line {line + 1}: .* is not a whole number from 0 on"):
        read_alist(tmp_path / "a")


def test_a_number_of_many_digits_is_not_cut_to_a_smaller_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(GOOD.replace("\n2 3\n", "\n2 3" + "0" * 5000 + "\n"))
    with pytest.raises(mo.MetaoptError, match="line 10: 3"):
        read_alist(tmp_path / "a")


def test_a_generator_is_read_from_words_of_32_bits(tmp_path: Path) -> None:
    parity = np.random.default_rng(0).integers(0, 2, (3, 40))
    words = [sum(int(bit) << k for k, bit in enumerate(row[at : at + 32])) for row in parity for at in (0, 32)]
    data = struct.pack(f"<2I{len(words)}Q", 3, 40, *words)
    (tmp_path / "G").write_bytes(data)
    expected = np.concatenate([np.eye(3), parity], axis=1)
    np.testing.assert_array_equal(read_generator(tmp_path / "G"), expected)
    for broken, message in [
        (data[:-1], "has 55 bytes, but a generator of 3 rows and 40 columns"),
        (b"", "has 0 bytes"),
        (data[:-4] + b"\1\0\0\0", "bits set beyond its 40 columns"),
        (data[:-7] + b"\1" + data[-6:], "bits set beyond its 40 columns"),
    ]:
        (tmp_path / "G").write_bytes(broken)
        with pytest.raises(mo.MetaoptError, match=message):
            read_generator(tmp_path / "G")


def test_the_published_files_are_what_the_page_says() -> None:
    folder = real_data("graphs/ldpc/mackay_96_48")
    parity, other, square = (read_alist(folder / name).astype(int) for name in ("96.3.963", "A2", "Cn"))
    np.testing.assert_array_equal(parity, read_alist(folder / "A"))
    assert parity.shape == (48, 96)
    assert set(parity.sum(axis=0)) == {3}
    assert set(parity.sum(axis=1)) == {6}
    np.testing.assert_array_equal(other[:, 48:], square)
    assert (other - parity).sum() == 3
    generator = read_generator(real_data("graphs/ldpc/mackay_96_48/G")).astype(int)
    assert generator.shape == (48, 96)
    assert not (other @ generator.T % 2).any()
    assert np.flatnonzero((parity @ generator.T % 2).any(axis=1)).tolist() == [45, 47]

"""Damage the bytes of a file in the ways that disks, editors and strangers do."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable

NUMBERS = (
    b"0 -1 1 2 3 255 65535 65536 1000000000000 -9223372036854775808 9223372036854775807 18446744073709551616 1e12 "
    b"1e308 1e400 -1e400 nan inf -inf 0.5 2.5 1e-320 1_0 0x10 0b1 010 \xd9\xa3 " + b"9" * 5000
).split(b" ")
WORDS = (
    b'null true {} [] "" \'\' {"call":"os.system"} {"take":"metaopt.data.write_image"} {"tensor":"x"} NaN Infinity '
    b"[[]] *a &a !!python/name:os.system # // c MARKOV BAYES MAR MPE PR \xef\xbb\xbf \x00 \r \n"
).split(b" ")
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TOKEN = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[A-Za-z_]{3,}|\"[^\"\n]{0,40}\"")


def _flip(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def _remove(data: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(data))
    del data[start : start + draw.choice((1, 2, 4, 16, 256))]


def _insert(data: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    data[at:at] = draw.choice((draw.randbytes(draw.choice((1, 4, 64))), draw.choice(WORDS), draw.choice(NUMBERS)))


def _repeat(data: bytearray, draw: random.Random) -> None:
    """A header that stands twice, or a part that was copied again."""
    start = draw.choice((0, draw.randrange(len(data))))
    part = data[start : start + draw.choice((8, 26, 100, len(data)))]
    at = draw.choice((0, start, len(data)))
    data[at:at] = part * draw.choice((1, 1, 2, 50))


def _substitute(data: bytearray, draw: random.Random) -> None:
    """Another number or word in the place of one."""
    found = list(TOKEN.finditer(data))
    if found:
        token = draw.choice(found)
        new = draw.choice(NUMBERS if draw.random() < 0.6 else WORDS)
        data[token.start() : token.end()] = draw.choice((new, draw.choice(found)[0]))


def _overwrite(data: bytearray, draw: random.Random) -> None:
    """An extreme number of 1, 2, 4 or 8 bytes, as where a size is declared; more often near the beginning."""
    size, order = draw.choice((1, 2, 4, 8)), draw.choice(("little", "big"))
    value = draw.choice(EXTREMES) if size < 8 else draw.choice((2**63 - 1, 2**64 - 1, 2**40))
    at = min(draw.randrange(len(data)), draw.randrange(len(data)))
    data[at : at + size] = (value % 256**size).to_bytes(size, order)


def _nest(data: bytearray, draw: random.Random) -> None:
    opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"- ", b""), (b"(", b")")))
    depth = draw.choice((10, 100, 5000))
    found = list(TOKEN.finditer(data))
    at = draw.choice(found).start() if found else draw.randrange(len(data))
    data[at:at] = opening * depth + b"1" + closing * depth


WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _cut, _remove, _insert, _repeat, _substitute, _substitute, _overwrite, _overwrite, _nest,
)  # fmt: skip


def mutated(data: bytes, draw: random.Random, others: tuple[bytes, ...] = ()) -> bytes:
    """The bytes with one to four damages, or rarely those of another file.

    The checksums of a PNG's chunks are made right again in half of the cases, or its decoder would see none of them.
    """
    if others and draw.random() < 0.03:
        data = draw.choice(others)
    result = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if result:
            draw.choice(WAYS)(result, draw)
    if result[:8] == b"\x89PNG\r\n\x1a\n" and draw.random() < 0.5:
        _mend_png(result)
    return bytes(result)


def _mend_png(data: bytearray) -> None:
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4

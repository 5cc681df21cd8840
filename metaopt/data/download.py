"""Download one file by HTTP, resume where it broke off, and keep only what has the right digest."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..core import MetaoptError
from .sources import SourceFile

ATTEMPTS = 5  # connections for one file, while each receives some of it
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
PIECE = 1 << 14  # bytes; a piece that is cut off is lost


class Download:
    """Download a file for pooch, and resume where an earlier download stopped, which pooch itself does not do.

    The file is collected in a hidden ``.part`` file beside its place, and is handed over once it has the right digest.

    Args:
        file: The file to download.
        path: Where it is to be.
        origin: Where a person finds it, for error messages.
        advance: Is called with the number of bytes received, which is negative where bytes are discarded.
    """

    def __init__(self, file: SourceFile, path: Path, origin: str, advance: Callable[[int], Any]) -> None:
        self.file, self.origin, self.advance = file, origin, advance
        # The digest is in the name so that a part of an earlier version of the data set is not resumed.
        self.part = path.with_name(f".{path.name}.{file.sha256[:8]}.part")

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fill ``output_file`` with what ``url`` serves; pooch checks it again and renames it.

        Args:
            url: The address of the file.
            output_file: The temporary file of pooch.
            pooch: The caller, which is not used.

        Raises:
            MetaoptError: The server cannot be reached, refuses, breaks off, or sends something else.
        """
        self.advance(self._got())
        self._collect(url)
        found = hashlib.sha256(self.part.read_bytes()).hexdigest()
        if found != self.file.sha256:
            raise self._refusal(f"{url} is another file: its sha256 is {found}, not {self.file.sha256}")
        os.replace(self.part, output_file)

    def _got(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _discard(self) -> None:
        self.advance(-self._got())
        self.part.unlink(missing_ok=True)

    def _refusal(self, what: str) -> MetaoptError:
        self._discard()
        return MetaoptError(f"{what}. Nothing of it was kept; look at {self.origin}.")

    def _collect(self, url: str) -> None:
        import requests

        cause = "it ended too early"
        for _ in range(ATTEMPTS):
            before = self._got()
            if before >= self.file.size:
                return
            try:
                if self._receive(url, before):
                    return
            except requests.RequestException as error:
                cause = _cause(error)
            if self._got() <= before:
                break
        got = self._got()
        left = f"broke off after {got:,} of {self.file.size:,} bytes" if got else "cannot be downloaded"
        raise MetaoptError(f"{url} {left} ({cause}); check the network, and fetch again to go on from there.")

    def _receive(self, url: str, have: int) -> bool:
        """Return whether the connection delivered the file to what the server declares as its end."""
        import requests

        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with requests.Session() as session:
            session.trust_env = not _is_loopback(url)  # a proxy cannot reach the loopback
            with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                goes_on = response.status_code == 206 and _start(response.headers) == have
                if have and not goes_on:
                    self._discard()  # the server does not resume, or its file is shorter
                    if response.status_code in (206, 416):
                        return self._receive(url, 0)
                if not response.ok:
                    raise self._refusal(f"{url} is refused with {response.status_code} ({response.reason})")
                self._write(url, response.iter_content(PIECE))
                return "Content-Length" in response.headers

    def _write(self, url: str, pieces: Any) -> None:
        got = self._got()
        with self.part.open("ab") as file:
            for piece in pieces:
                got += len(piece)
                if got > self.file.size:
                    raise self._refusal(f"{url} sends more than the {self.file.size:,} bytes that it should")
                file.write(piece)
                self.advance(len(piece))


def _start(headers: Mapping[str, str]) -> int | None:
    """Return the position of the first byte of an answer, as in ``Content-Range: bytes 100-199/200``."""
    first = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() else None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _cause(error: Exception) -> str:
    from requests import exceptions

    causes = {
        exceptions.Timeout: "no answer in time",
        exceptions.SSLError: "its certificate is not accepted",
        exceptions.ProxyError: "the proxy does not answer",
        exceptions.ChunkedEncodingError: "the connection was lost",
        exceptions.ConnectionError: "no connection",
    }
    return next((words for kind, words in causes.items() if isinstance(error, kind)), str(error))

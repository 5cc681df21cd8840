"""A server on the loopback that serves data, and can break off, ignore ranges or lie; and a registry that names it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Behaviour:
    """What the server does; a test changes it while the server runs.

    Args:
        files: What it serves, by path without the first slash.
        breaks_after: Bytes of a body after which it closes the connection, or None.
        takes_ranges: Whether it serves from a given byte on.
        says_length: Whether it says how long the body is.
        shift: How far from the byte that was asked for an answer to a range starts.
        midway: Is called when it has sent the first half of a body.
        asked: The paths and ranges that it was asked for.
    """

    files: dict[str, bytes]
    breaks_after: int | None = None
    takes_ranges: bool = True
    says_length: bool = True
    shift: int = 0
    midway: Callable[[], None] | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Behaviour]:
    """A server of ``files`` at a free port."""
    behaviour = Behaviour(files)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(behaviour))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    behaviour.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield behaviour
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(behaviour: Behaviour) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.asked.append((self.path, wanted))
            content = behaviour.files.get(self.path[1:])
            if content is None:
                return self.send_error(404)
            first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and behaviour.takes_ranges else 0
            if first and first >= len(content):
                return self.send_error(416)
            start = first + behaviour.shift if first else 0
            body = content[start:]
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if "gzip" in self.headers.get("Accept-Encoding", ""):  # of which no range can be counted
                body = gzip.compress(body)
                self.send_header("Content-Encoding", "gzip")
            if behaviour.says_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self._send(body[: behaviour.breaks_after])
            return None

        def _send(self, body: bytes) -> None:
            half = len(body) // 2
            self.wfile.write(body[:half])
            if behaviour.midway:
                self.wfile.flush()
                behaviour.midway()
            self.wfile.write(body[half:])

        def log_message(self, *_: Any) -> None:
            """Leaves standard error to what is tested."""

    return Handler


def write_registry(folder: Path, url: str, files: dict[str, bytes], **entry: Any) -> Path:
    """A registry whose one data set, ``made/up``, is served at ``url``; ``unserved`` files have no address."""
    listed = [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in files.items()
    ]
    for path in entry.pop("unserved", ()):
        next(file for file in listed if file["path"] == path)["from"] = None
    said = {"title": "Noise", "use": "test", "licence": "CC0", "origin": "nowhere", "url": url, "files": listed}
    (folder / "made").mkdir(parents=True)
    (folder / "made" / "up.json").write_text(json.dumps(said | entry))
    return folder

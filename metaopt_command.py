"""Start the command ``metaopt``, and end it in one line where Ctrl-C comes while torch is still being imported.

This module stands outside of the package, because Python imports the package, and torch with it, before any module in
it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any


def main() -> int:
    """Run one command, and return its exit status: 130 after an interruption."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # and not where a shell lets its children ignore it
        signal.signal(signal.SIGINT, _end)
    from metaopt.cli import main as run

    signal.signal(signal.SIGINT, usual)
    try:
        return run()
    except KeyboardInterrupt:
        sys.stderr.write("metaopt: interrupted\n")
        return 130


def _end(*_: Any) -> None:
    """End the process at once: an exception could be lost in a module that catches whatever its imports raise."""
    os.write(2, b"metaopt: interrupted\n")
    os._exit(130)

"""Search for as long as is said: ``python -m tests.fuzz --minutes 30 [--only NAME] [--seed 0]``.

Each round runs in a process of its own with a limit on memory, so that a crash is found and named too. A failure is
printed with the command that repeats it. The exit status is 1 where there was one.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time

from . import commands, readers

MEMORY = 6 * 2**30  # bytes of address space, most of it torch's
SECONDS = 60  # for one input


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--only", help="one reader, or 'commands'", choices=[*readers.BY_NAME, "commands"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100, help="inputs of a round")
    parser.add_argument("--round", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.round:
        return run_round(options.only, options.seed, options.count)
    names = [options.only] if options.only else [*readers.BY_NAME, "commands"]
    end, seed, failures, tried = time.monotonic() + 60 * options.minutes, options.seed, 0, 0
    while time.monotonic() < end:
        for name in names:
            if time.monotonic() >= end:
                break
            repeat = [sys.executable, "-m", "tests.fuzz", "--only", name, "--seed", str(seed), "--count"]
            done = subprocess.run([*repeat, str(options.count), "--round"], capture_output=True, text=True)
            tried += options.count
            if done.returncode:
                failures += 1
                say(f"{name}, exit {done.returncode}:\n{done.stdout}{done.stderr[-2000:]}")
        seed += options.count
    say(f"{tried} inputs, {failures} rounds with failures")
    return 1 if failures else 0


def run_round(name: str, seed: int, count: int) -> int:
    """Try the inputs of ``count`` seeds, and say which fail."""
    import torch

    torch.set_num_threads(1)
    limit_memory()
    failed = 0
    for number in range(seed, seed + count):
        sys.stderr.write(f"seed {number}\n")  # shown where the process dies
        sys.stderr.flush()
        if (wrong := attempt(name, number)) is not None:
            failed += 1
            say(f"  --only {name} --seed {number} --count 1 --round: {wrong}")
    return 1 if failed else 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def attempt(name: str, seed: int) -> str | None:
    """What is wrong with the answer to the input of a seed, or None."""
    draw = random.Random(f"{name} {seed}")
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        if name == "commands":
            return commands.attempt(draw)
        with readers.made(readers.BY_NAME[name]) as valid:
            return readers.attempt(readers.BY_NAME[name], valid, draw)
    except TimeoutError:
        return f"more than {SECONDS} s"
    finally:
        signal.alarm(0)


def _too_long(*_: object) -> None:
    raise TimeoutError


def limit_memory() -> None:
    """Let the process have as much more address space as no reader of small files needs."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    sys.exit(main())

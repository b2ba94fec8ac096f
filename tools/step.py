"""One line for one step of a Makefile: ``python tools/step.py NAME LOG COMMAND ...``.

What the command says goes into the file LOG. A terminal shows a bar with the time, filled by the last ``[3/15]`` or
``[ 20%]`` in the log; when the command has ended, one line says how long it took. If it failed, the end of the log is
printed, and its status is returned. Needs nothing but Python: it shows the installation, too.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

WIDTH, LAST = 24, 30  # of the bar; lines that are shown of a log


def share(text: str) -> float | None:
    """How much is done, from the last report of progress in a text; None without one.

    >>> share("[1/4] one[2/4] two"), share("reading sources... [ 20%] index"), share("Collecting numpy")
    (0.5, 0.2, None)
    """
    reports = re.findall(r"\[ *(\d+)(?:/(\d+)|%)\]", text)
    if not reports:
        return None
    done, whole = reports[-1]
    return min(1.0, int(done) / max(1, int(whole or 100)))


def line(name: str, done: float | None, seconds: float) -> str:
    """The line of a step: its name, its bar, if it has one, and its time.

    >>> line("Notebooks", 0.5, 61)
    'Notebooks                         [############............]    61 s'
    """
    full = round(WIDTH * (done or 0))
    bar = " " * (WIDTH + 2) if done is None else "[" + "#" * full + "." * (WIDTH - full) + "]"
    return f"{name:<33} {bar} {seconds:5.0f} s"


def main(name: str, log: str, *command: str) -> int:
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    start, done = time.monotonic(), None
    with path.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                if sys.stdout.isatty():
                    done = share(path.read_bytes()[-4000:].decode("utf-8", "replace")) or done
                    print("\r" + line(name, done, time.monotonic() - start), end="", flush=True)
                time.sleep(0.2)
        except KeyboardInterrupt:
            process.wait()
            print(f"\ninterrupted; the log is {path}")
            return 130
    begin = "\r" if sys.stdout.isatty() else ""
    if process.returncode:
        print(f"{begin}{name}: failed after {time.monotonic() - start:.0f} s. The end of {path}:\n")
        print("\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST:]))
    else:
        print(begin + line(name, 1.0, time.monotonic() - start), flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

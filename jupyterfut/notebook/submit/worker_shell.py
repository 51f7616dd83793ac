"""What `get_ipython()` gives to a cell that runs on a worker: shell lines and the few magics that make sense there (`inside` says which). What they
print goes where the cell's prints go, as it comes.
"""

from __future__ import annotations

import codecs
import os
import string
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jupyterfut.notebook.submit.inside import fields_of

_READ_BYTES = 65536


class WorkerShell:
    """IPython's shell, as far as a worker has one."""

    # --- shell lines

    def system(self, command: str, *fields: Callable[[], Any]) -> None:
        """Run a shell command; what it says is printed as it comes. As in IPython, a command that fails is no error."""
        _run(_filled(command, fields), shell=True)

    def getoutput(self, command: str, *fields: Callable[[], Any]) -> list[str]:
        """Run a shell command and return its lines."""
        done = subprocess.run(
            _filled(command, fields), shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.stdout.splitlines()

    def script(self, interpreter: str, text: str) -> None:
        """Run a script. Raises CalledProcessError when it fails, as IPython's `%%bash` does."""
        code = _run([interpreter, "-c", text], shell=False)
        if code:
            raise subprocess.CalledProcessError(code, interpreter)

    def pwd(self) -> str:
        """The worker's directory."""
        return os.getcwd()

    def env(self, name: str) -> str:
        """A variable of the worker's environment."""
        return os.environ[name]

    # --- how long

    def clock(self) -> tuple[float, float, float]:
        """Wall time, and this thread's processor time as far as it is known: user, system."""
        try:
            import resource

            used = resource.getrusage(resource.RUSAGE_THREAD)
            return time.perf_counter(), used.ru_utime, used.ru_stime
        except (ImportError, AttributeError):  # macOS counts for the whole process only, Windows in another way
            return time.perf_counter(), time.thread_time(), 0.0

    def timed(self, began: tuple[float, float, float], value: Any) -> Any:
        """Print how long it took to make `value`, and return it."""
        wall, user, system = (now - then for now, then in zip(self.clock(), began, strict=True))
        # as IPython writes it
        print(f"CPU times: user {_span(user)}, sys: {_span(system)}, total: {_span(user + system)}")  # noqa: T201
        print(f"Wall time: {_span(wall)}")  # noqa: T201
        return value

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Print how long the block took."""
        began = self.clock()
        yield
        self.timed(began, None)

    def timeit(self, options: str, function: Callable[[], Any]) -> None:
        """`%timeit`, with its options -n, -r, -p and -q. (-o, which returns the result, -t and -c are accepted and have no effect.)"""
        given = _options(options)
        timer = timeit.Timer(function)
        number = given.get("n") or timer.autorange()[0]
        repeat, digits = given.get("r") or 7, given.get("p") or 3
        runs = [seconds / number for seconds in timer.repeat(repeat, number)]
        mean = sum(runs) / repeat
        deviation = (sum((seconds - mean) ** 2 for seconds in runs) / repeat) ** 0.5
        if "q" not in given:
            loops = f"{number:,} loop{'s' * (number > 1)} each"
            print(  # noqa: T201
                f"{_span(mean, digits)} ± {_span(deviation, digits)} per loop (mean ± std. dev. of {repeat} run{'s' * (repeat > 1)}, {loops})"
            )


def _options(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    words = iter(text.split())
    for word in words:
        letter, number = word[1], word[2:]
        if letter in "nrp":
            found[letter] = int(number or next(words))
        else:
            found.update(dict.fromkeys(word[1:], 1))
    return found


def _span(seconds: float, digits: int = 3) -> str:
    """A duration as IPython writes it.

    >>> _span(0.00123), _span(75)
    ('1.23 ms', '1min 15s')
    """
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return " ".join(f"{amount}{unit}" for amount, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if amount)
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.{digits}g} {unit}"
    return f"{seconds * 1e9:.{digits}g} ns"


def _run(command: str | Sequence[str], *, shell: bool) -> int:
    """Run a command, print what it says, and return its exit code. It ends with the cell, whatever ends that."""
    with subprocess.Popen(
        command, shell=shell, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        ended = False
        try:
            while data := os.read(process.stdout.fileno(), _READ_BYTES):
                sys.stdout.write(decode(data))
            sys.stdout.write(decode(b"", True))
            ended = True
        finally:
            if not ended:
                _kill(process)
    return process.returncode


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, 9)  # the shell and what it has started
    except (AttributeError, ProcessLookupError, PermissionError):
        process.kill()


def _filled(command: str, fields: Sequence[Callable[[], Any]]) -> str:
    """The command with the values of its `{expressions}` and `$names`; as it stands when one of them has none, which IPython does, too."""
    if not fields and "{" not in command and "$" not in command:
        return command
    formatter = string.Formatter()
    values = iter(fields)
    try:
        parts = []
        for text, expression, form, conversion in fields_of(command):
            parts.append(text)
            if expression is not None:
                parts.append(formatter.format_field(formatter.convert_field(next(values)(), conversion), form))
        return "".join(parts)
    except Exception:  # noqa: BLE001  # a user's expression may raise anything; the shell is given its braces
        return command

"""Stand-ins for `sys.stdout` and `sys.stderr` where workers live. What a task writes goes to its output, all else to the real stream.

There is one pair in a process, put there with the first worker and taken away with the last. It costs a task nothing: only who writes is looked up.
`contextlib.redirect_stdout`, pytest's capture and doctest put their own stream in place of ours, or ours on top of theirs; both work, and a
stand-in that is still referred to when the workers are gone passes everything on.

A process forked from a worker (`multiprocessing`, on Linux) has nobody who would send its output: its stand-ins write to file descriptors 1 and 2,
which lead back to the worker (`descriptors`).
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import threading
from typing import Any, TextIO

from jupyterfut.runtime.output import attribution, descriptors
from jupyterfut.runtime.output.attribution import output_of_task
from jupyterfut.runtime.output.collector import Collector, TaskOutput
from jupyterfut.runtime.output.parts import Kind


class StandIn(io.TextIOBase):
    """Stands in for one stream. `real` is None where a process has none (`pythonw`)."""

    def __init__(self, real: TextIO | None, kind: Kind) -> None:
        self.real = real
        self._kind: Kind = kind
        self._binary = BinaryStandIn(self)

    def write(self, text: str) -> int:
        output = output_of_task()
        if output is None:
            return self.real.write(text) if self.real is not None else len(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if descriptors.current is not None:
            descriptors.current.catch_up()
        output.write(self._kind, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """In a task, nothing: what it writes leaves within 50 ms as it is."""
        if self.real is not None and output_of_task() is None:
            self.real.flush()

    def close(self) -> None:
        """Not the real one's: it is not ours."""

    @property
    def buffer(self) -> BinaryStandIn:
        return self._binary

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        return getattr(self.real, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return getattr(self.real, "errors", None)

    @property
    def newlines(self) -> Any:  # type: ignore[override]
        return getattr(self.real, "newlines", None)

    def isatty(self) -> bool:
        return self.real is not None and output_of_task() is None and self.real.isatty()

    def fileno(self) -> int:
        """The real one's: in a worker's process, what is written there finds its task as well."""
        if self.real is None:
            raise io.UnsupportedOperation("fileno")
        return self.real.fileno()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name == "real":  # not made yet
            raise AttributeError(name)
        return getattr(self.real, name)

    def __repr__(self) -> str:
        return f"<stand-in for {self.real!r}>"


class BinaryStandIn(io.BufferedIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, text: StandIn) -> None:
        self._text = text
        self._decoders = threading.local()

    def write(self, data: Any) -> int:
        stand_in = self._text
        output = output_of_task()
        if output is None:
            written: int = self._real().write(data)
            return written
        if descriptors.current is not None:
            descriptors.current.catch_up()
        chunk = bytes(data)
        output.write(stand_in._kind, self._decoder(output).decode(chunk))
        return len(chunk)

    def flush(self) -> None:
        if output_of_task() is None and self._text.real is not None:
            self._text.real.flush()

    def close(self) -> None:
        """Not the real one's."""

    def fileno(self) -> int:
        return self._text.fileno()

    def isatty(self) -> bool:
        return self._text.isatty()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        if name == "_text":
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:
        real: Any = self._text.real
        return real.buffer

    def _decoder(self, output: TaskOutput) -> codecs.IncrementalDecoder:
        """A character may come in two writes, of one task in one thread."""
        here = self._decoders
        if getattr(here, "output", None) is not output:
            here.output, here.decoder = output, codecs.getincrementaldecoder("utf-8")("replace")
        decoder: codecs.IncrementalDecoder = here.decoder
        return decoder


_lock = threading.Lock()
_ours: dict[str, StandIn] = {}  # by the name of the stream: those that were put there last


def acquire(collector: Collector) -> None:
    """A worker lives here: from now on, what its tasks write goes there. Puts stand-ins where there are none."""
    with _lock:
        attribution.collectors.append(collector)
        if descriptors.current is not None:
            collector.below, collector.look_s = descriptors.current, descriptors.LOOK_S
        _cover()
        if len(attribution.collectors) == 1:
            from jupyterfut.runtime.output import guests

            guests.greet()


def release(collector: Collector) -> None:
    """The worker is gone. With the last one, the real streams are put back, unless somebody else's stand there. Idempotent."""
    with _lock:
        if collector in attribution.collectors:
            attribution.collectors.remove(collector)
            if not attribution.collectors:
                from jupyterfut.runtime.output import guests

                for name in _NAMES:
                    stream = getattr(sys, name)
                    if isinstance(stream, StandIn):
                        setattr(sys, name, stream.real)
                _ours.clear()
                guests.part()


def recover() -> None:
    """Calls are going to run. If the very stream that ours stands for was put back in the meantime, as pytest does between the parts of a test, ours
    comes back, too; what else may stand there (`redirect_stdout`) was meant."""
    ours = _ours.get("stdout")
    if ours is not None and (sys.stdout is ours.real or sys.stderr is _ours["stderr"].real) and ours.real is not None:
        with _lock:
            for name, stand_in in _ours.items():
                if getattr(sys, name) is stand_in.real:
                    setattr(sys, name, stand_in)


_NAMES: dict[str, Kind] = {"stdout": "out", "stderr": "err"}


def _cover() -> None:
    for name, kind in _NAMES.items():
        stream = getattr(sys, name)
        if not isinstance(stream, StandIn):
            stream = StandIn(stream, kind)
            setattr(sys, name, stream)
        _ours[name] = stream


def _in_fork() -> None:
    """No thread of the worker's is in the new process, and none of its tasks."""
    global _lock
    _lock = threading.Lock()
    if attribution.collectors:
        _ours.clear()
        for name, fd in (("stdout", 1), ("stderr", 2)):
            stream = getattr(sys, name)
            if isinstance(stream, StandIn) and attribution.is_own_process():
                stream.real = open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115  # for good
        attribution.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_fork)

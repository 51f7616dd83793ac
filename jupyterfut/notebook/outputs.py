"""What a cell shows while it runs on a worker: printed text, `display(...)` calls and the value of its last expression, kept in order.

They are collected per thread, so that two cells on two threads of one worker do not mix: while at least one cell runs, `sys.stdout` is a stand-in
that sorts what is written by the thread that writes it (a thread without a cell writes to the real one). The kernel that submitted the cell shows
them.

Values become MIME bundles here, where the objects live; only the bundles travel.
"""

from __future__ import annotations

import base64
import builtins
import pprint
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

Bundle = dict[str, Any]
"""MIME type -> data, as Jupyter displays it."""

Output = str | Bundle
"""A piece of printed text, or one display."""

TEXT_LIMIT = 1_000_000  #: characters of one text that are kept


class _Here(threading.local):
    outputs: list[Output] | None = None


_here = _Here()
_lock = threading.Lock()
_running = 0


class _SortedOut:
    """Stands in for `sys.stdout` while cells run."""

    def __init__(self, real: TextIO) -> None:
        self.real = real

    def write(self, text: str) -> int:
        if _here.outputs is None:
            return self.real.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        _append_text(_here.outputs, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if _here.outputs is None:
            self.real.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@contextmanager
def collecting() -> Iterator[list[Output]]:
    """What this thread prints and displays inside the block."""
    global _running
    with _lock:
        _running += 1
        if _running == 1:
            sys.stdout = _SortedOut(sys.stdout)  # a text file, as far as print and its users know
    outer, _here.outputs = _here.outputs, []
    try:
        yield _here.outputs
    finally:
        _here.outputs = outer
        with _lock:
            _running -= 1
            if _running == 0 and isinstance(sys.stdout, _SortedOut):
                sys.stdout = sys.stdout.real


def display(*objects: Any, **options: Any) -> None:
    """`display` of code that runs on a worker: the objects are shown under the cell that was submitted. Options of IPython's own are accepted and
    have no effect."""
    if _here.outputs is None:  # nobody's cell: a function that was made in one, called in a notebook or a script
        elsewhere: Callable[..., Any] = getattr(builtins, "display", print)
        elsewhere(*objects, **({} if elsewhere is print else options))
        return
    for value in objects:
        _here.outputs.append(value if options.get("raw") and isinstance(value, dict) else bundle(value))


def worker_display() -> Callable[..., None]:
    """What IPython's own `display` becomes on its way to a worker."""
    return display


def bundle(value: Any) -> Bundle:
    """The value as a notebook shows it: its text, and whatever richer forms it offers through Jupyter's `_repr_*_` methods.

    >>> bundle([1, 2])
    {'text/plain': '[1, 2]'}
    """
    shown: Bundle = {"text/plain": text(value)}
    for mime, method in _METHODS.items():
        data = _call(value, method)
        if isinstance(data, tuple):  # (data, metadata)
            data = data[0]
        if isinstance(data, bytes):
            data = base64.b64encode(data).decode("ascii")
        if data is not None:
            shown[mime] = data
    whole = _call(value, "_repr_mimebundle_")
    if isinstance(whole, tuple):
        whole = whole[0]
    if isinstance(whole, dict):
        shown.update(whole)
    return shown


def text(value: Any) -> str:
    """The value's text: `repr`, with containers over one line wrapped as a notebook wraps them.

    >>> text({"b": 1, "a": "x"})
    "{'b': 1, 'a': 'x'}"
    """
    shown = _Pretty(width=79, sort_dicts=False).pformat(value) if isinstance(value, dict | list | tuple | set | frozenset) else repr(value)
    return shown if len(shown) <= TEXT_LIMIT else f"{shown[:TEXT_LIMIT]}... ({len(shown) - TEXT_LIMIT} more characters)"


class _Pretty(pprint.PrettyPrinter):
    """pprint without its habit of cutting long strings in pieces."""

    _dispatch = {method: printer for method, printer in pprint.PrettyPrinter._dispatch.items() if method is not str.__repr__}  # type: ignore[attr-defined]  # the only place where it can be told


_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
}


def _call(value: Any, name: str) -> Any:
    if isinstance(value, type):
        return None
    method: Callable[[], Any] | None = getattr(type(value), name, None) and getattr(value, name, None)
    return method() if callable(method) else None


def _append_text(outputs: list[Output], text: str) -> None:
    if outputs and isinstance(outputs[-1], str):
        outputs[-1] = (outputs[-1] + text)[-TEXT_LIMIT:]
    else:
        outputs.append(text)

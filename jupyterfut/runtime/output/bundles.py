"""What a notebook shows of a value: its MIME bundle, made where the value lives; only the bundle travels.

Every value has its text. Richer forms are those that it offers by Jupyter's methods (`_repr_html_`, `_repr_mimebundle_`, ...; see IPython's "rich
display"); a matplotlib figure, which offers none by itself, is its PNG, as in a notebook. IPython is not needed.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Container
from typing import Any

Bundle = dict[str, Any]
"""MIME type -> data, as Jupyter displays it."""

TEXT_LIMIT = 1_000_000  #: characters of one text that are kept

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
"""A widget lives in the process that made it, and a worker is connected to no page: its text is shown in place of an error."""


def bundle(value: Any) -> Bundle:
    """The value as a notebook shows it. Raises what the value's own methods raise.

    >>> bundle([1, 2])
    {'text/plain': '[1, 2]'}
    """
    return formatted(value)[0]


def formatted(value: Any, include: Container[str] | None = None, exclude: Container[str] | None = None) -> tuple[Bundle, dict[str, Any]]:
    """The value's bundle and its metadata by MIME type; `include`: only these types, `exclude`: not these.

    >>> class Dot:
    ...     def __repr__(self):
    ...         return "."
    ...     def _repr_html_(self):
    ...         return "&middot;", {"isolated": True}
    >>> formatted(Dot())
    ({'text/plain': '.', 'text/html': '&middot;'}, {'text/html': {'isolated': True}})
    """
    shown: Bundle = {"text/plain": text(value)}
    metadata: dict[str, Any] = {}
    for mime, method in _METHODS.items():
        data, about = _pair(_call(value, method))
        if data is not None:
            shown[mime] = data
            if about:
                metadata[mime] = about
    if _is_figure(value) and (drawn := png(value)) is not None:
        shown["image/png"] = drawn
    whole, about = _pair(_call(value, "_repr_mimebundle_", include=include, exclude=exclude))
    if isinstance(whole, dict):
        shown.update(whole)
        metadata.update(about or {})
    shown.pop(WIDGET_VIEW, None)
    shown = {mime: data for mime, data in shown.items() if (not include or mime in include) and (not exclude or mime not in exclude)}
    return portable(shown), portable(metadata)


def text(value: Any) -> str:
    """The value's text: `repr`, with containers over one line wrapped as a notebook wraps them.

    >>> text({"b": 1, "a": "x"})
    "{'b': 1, 'a': 'x'}"
    """
    shown = repr(value)
    if len(shown) > _WIDTH and type(value).__repr__ in _WRAPPED:
        shown = _pretty(value)
    return shown if len(shown) <= TEXT_LIMIT else f"{shown[:TEXT_LIMIT]}... ({len(shown) - TEXT_LIMIT} more characters)"


_WIDTH = 79
_WRAPPED: set[Any] = {kind.__repr__ for kind in (dict, list, tuple, set, frozenset)}


def _pretty(value: Any) -> str:
    """pprint, without its habit of cutting long strings in pieces. (Importing it takes longer than a worker does to run a thousand tasks.)"""
    import pprint

    class Printer(pprint.PrettyPrinter):
        _dispatch = {method: how for method, how in pprint.PrettyPrinter._dispatch.items() if method is not str.__repr__}  # type: ignore[attr-defined]  # the only place where it can be told

    return Printer(width=_WIDTH, sort_dicts=False).pformat(value)


_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "application/pdf": "_repr_pdf_",
    "image/jpeg": "_repr_jpeg_",
    "text/latex": "_repr_latex_",
    "application/json": "_repr_json_",
    "application/javascript": "_repr_javascript_",
}


def _call(value: Any, name: str, **options: Any) -> Any:
    if isinstance(value, type):
        return None
    method: Callable[..., Any] | None = getattr(type(value), name, None) and getattr(value, name, None)
    return method(**options) if callable(method) else None


def _pair(answer: Any) -> tuple[Any, Any]:
    """Such methods return data, or data and metadata."""
    return (answer[0], answer[1]) if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)


def portable(data: Any) -> Any:
    """A copy in which everything can travel, and be written in a notebook: JSON's types; bytes in base64, anything else as its text.

    >>> portable({"a": (1, b"ab", {2: None}), "n": 2**70})
    {'a': [1, 'YWI=', {'2': None}], 'n': 1.1805916207174113e+21}
    """
    if data is None or isinstance(data, bool | float | str):
        return data
    if isinstance(data, int):
        return int(data) if -(2**63) <= data < 2**64 else float(data)
    if isinstance(data, bytes | bytearray | memoryview):
        return base64.b64encode(data).decode("ascii")
    if isinstance(data, dict):
        return {str(name): portable(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [portable(one) for one in data]
    if getattr(data, "ndim", None) == 0 and callable(getattr(data, "item", None)):  # a NumPy number
        return portable(data.item())
    return str(data)


# --- figures


def _is_figure(value: Any) -> bool:
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)


def png(figure: Any) -> bytes | None:
    """A matplotlib figure as the inline backend of notebooks draws it; None when there is nothing on it."""
    import io

    if not (figure.axes or figure.lines or figure.texts or figure.images or figure.patches):
        return None
    file = io.BytesIO()
    figure.canvas.print_figure(
        file, format="png", facecolor=figure.get_facecolor(), edgecolor=figure.get_edgecolor(), dpi=figure.dpi, bbox_inches="tight"
    )
    return file.getvalue()

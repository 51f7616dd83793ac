"""Whether plain data has the shape that a TypedDict describes: for snapshots, whose descriptions the front end's types are made from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict


def misfits(value: Any, shape: Any, where: str = "") -> Iterator[str]:
    """What does not fit: nothing, as a rule."""
    kind = get_origin(shape)
    if is_typeddict(shape):
        hints = get_type_hints(shape)
        if type(value) is not dict or value.keys() != hints.keys():
            yield f"{where or 'it'} is no {shape.__name__}: {sorted(value.keys() ^ hints.keys()) if type(value) is dict else value!r}"
            return
        for name, hint in hints.items():
            yield from misfits(value[name], hint, f"{where}.{name}")
    elif kind in (Union, UnionType):
        if all(list(misfits(value, one, where)) for one in get_args(shape)):
            yield f"{where} is none of {shape}: {value!r}"
    elif kind is list:
        if type(value) is not list:
            yield f"{where} is no list: {value!r}"
            return
        for place, one in enumerate(value):
            yield from misfits(one, get_args(shape)[0], f"{where}[{place}]")
    elif kind is tuple:
        if len(value) != len(get_args(shape)):
            yield f"{where} has {len(value)} parts"
        for one, hint in zip(value, get_args(shape), strict=False):
            yield from misfits(one, hint, where)
    elif shape is float:
        if type(value) not in (float, int) or not math.isfinite(value):
            yield f"{where} is no number: {value!r}"
    elif type(value) is not (NoneType if shape is None else shape):
        yield f"{where} is no {shape}: {value!r}"


def columns_misfit(value: dict[str, Any], columns: list[str]) -> list[str]:
    """The columns that are not as long as the first."""
    return [name for name in columns if len(value[name]) != len(value[columns[0]])]

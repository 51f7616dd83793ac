"""What of an object can be called from afar, and what is read."""

from __future__ import annotations

import functools
import pickletools

import pytest

from jupyterfut.runtime.actors import description, names_of


class Model:
    """Something that can be called, and is data."""

    def __call__(self):
        return 1


class Thing:
    size = 3
    Config = dict

    def __init__(self):
        self.model = Model()
        self.shout = str.upper
        self.half = functools.partial(pow, 2)
        self._secret = 1

    def plain(self): ...

    async def coroutine(self): ...

    @classmethod
    def of_class(cls): ...

    @staticmethod
    def static(): ...

    @functools.lru_cache  # noqa: B019
    def cached(self): ...

    by_part = functools.partialmethod(plain)

    @property
    def broken(self):
        raise ValueError("nobody asked for this")

    @functools.cached_property
    def later(self):
        raise ValueError("nobody asked for this")

    def _repr_html_(self): ...


def test_methods_and_attributes_are_told_apart_without_running_anything():
    methods, attributes = names_of(Thing())
    assert methods == ["Config", "by_part", "cached", "coroutine", "half", "of_class", "plain", "shout", "static"]
    assert attributes == ["_secret", "broken", "later", "model", "size"]


def test_a_dir_that_raises_is_the_users_own_error():
    class Shy:
        def __dir__(self):
            raise ValueError("go away")

    with pytest.raises(ValueError, match="go away"):
        names_of(Shy())


def test_a_description_is_a_pickle_that_names_its_reader_and_nothing_else():
    payload = description("x-1", "cluster", "tcp://s:1", "tcp://w:1", "Thing", ["plain"], ["size"])
    names = [argument for opcode, argument, _ in pickletools.genops(payload) if opcode.name == "GLOBAL"]
    assert names == ["jupyterfut.client.actors arrive"]
    assert len(payload) < 250

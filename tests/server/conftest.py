"""A Jupyter server in this process, with the extension, for each test that asks for one. Its base URL has a space in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403  # fixtures for this directory only: some are for every test

from jupyterfut.notebook.server.extension import JupyterfutExtension
from jupyterfut.runtime import connections

BASE_URL = "/user/a%20b/"


@pytest.fixture
def jp_base_url() -> str:
    return BASE_URL


@pytest.fixture
def jp_runtime_dir(runtime_directory: Path) -> Path:
    return runtime_directory


@pytest.fixture
def extension_settings() -> dict[str, Any]:
    """Of `c.JupyterfutExtension`. Tests that want others have a fixture of this name."""
    return {"answer_timeout_s": 30.0, "start_timeout_s": 60.0}


@pytest.fixture
def jp_server_config(extension_settings: dict[str, Any]) -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"jupyterfut": True}}, "JupyterfutExtension": extension_settings}


class Answer:
    """Of a REST door."""

    def __init__(self, status: int, text: str, headers: Any) -> None:
        self.status, self.text, self.headers = status, text, headers

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class Socket:
    """A page's socket."""

    def __init__(self, link: Any, said: list[str]) -> None:
        self._link, self._said = link, said

    async def say(self, **message: Any) -> None:
        await self._link.write_message(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        """The next text."""
        text = await self._link.read_message()
        assert text is not None, "the server has closed the socket"
        self._said.append(text)
        found: dict[str, Any] = json.loads(text)
        return found

    async def until(self, kind: str, wanted: Callable[[dict[str, Any]], Any] = lambda message: True) -> dict[str, Any]:
        """The next text of this type that is as wanted."""
        while True:
            message = await self.hear()
            if message["type"] == kind and wanted(message):
                return message

    async def until_listed(self, wanted: Callable[[dict[str, dict[str, Any]]], Any]) -> dict[str, dict[str, Any]]:
        """The next list of clusters, by name, that is as wanted."""
        found = await self.until("clusters", lambda message: wanted({info["name"]: info for info in message["clusters"]}))
        return {info["name"]: info for info in found["clusters"]}


class Server:
    """The server's doors. `said` is all that has come out of them."""

    def __init__(self, extension: JupyterfutExtension, fetch: Callable[..., Awaitable[Any]], connect: Callable[..., Awaitable[Any]]) -> None:
        self.extension = extension
        self.said: list[str] = []
        self.tokens: set[str] = set()  # of the clusters that it has found
        self._fetch, self._connect = fetch, connect

    async def ask(self, method: str, *path: str, body: Any = None, headers: dict[str, str] | None = None, **params: str) -> Answer:
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        options = {"method": method, "body": text, "headers": headers, "params": params, "request_timeout": 60.0}
        answer = await self._fetch("jupyterfut", "api", *path, **options, allow_nonstandard_methods=True, raise_error=False)
        told = Answer(answer.code, answer.body.decode() if answer.body else "", answer.headers)
        self.said += [told.text, str(list(answer.headers.get_all()))]
        return told

    @asynccontextmanager
    async def socket(self, **headers: str) -> AsyncIterator[Socket]:
        link = await self._connect("jupyterfut", "api", "socket", headers=dict(headers))
        try:
            yield Socket(link, self.said)
        finally:
            link.close()
            await link.read_message()  # None, when both sides have closed


@pytest.fixture
def server(jp_serverapp: Any, jp_fetch: Any, jp_ws_fetch: Any, runtime_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """After each test: no token of any cluster, or of its own dashboard, has come out of any door."""
    extension = jp_serverapp.extension_manager.extension_points["jupyterfut"].app
    found = Server(extension, jp_fetch, jp_ws_fetch)
    tokens = found.tokens
    read = connections.read_connection_file

    def note(path: Any) -> Any:
        info = read(path)
        tokens.add(info.token)
        if info.dashboard:
            tokens.add(info.dashboard.partition("token=")[2])
        return info

    monkeypatch.setattr(connections, "read_connection_file", note)
    yield found
    assert "" not in tokens
    assert not [token for token in tokens if any(token in text for text in found.said)]

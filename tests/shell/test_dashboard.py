"""The dashboard that a scheduler serves: who may look, what it costs while nobody does, and what a page hears."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect

from jupyterfut import Client, LocalCluster, Scheduler
from jupyterfut.config import Settings, use
from jupyterfut.diagnostics.dashboard import Dashboard, serve
from jupyterfut.diagnostics.dashboard.server import OVER
from jupyterfut.errors import ConfigError

CERTIFICATES = Path(__file__).parents[1] / "certificates"


class Visitor:
    """A browser, as far as it matters here."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.cookie = ""
        self._client = AsyncHTTPClient(force_instance=True)

    async def get(self, path: str = "", method: str = "GET", **headers: str) -> HTTPResponse:
        if self.cookie:
            headers["Cookie"] = self.cookie
        request = HTTPRequest(
            self.dashboard.url + path, method=method, headers=headers, follow_redirects=False, validate_cert=False, allow_nonstandard_methods=True
        )
        response = await self._client.fetch(request, raise_error=False)
        if "Set-Cookie" in response.headers:
            self.cookie = response.headers["Set-Cookie"].partition(";")[0]
        return response

    async def enter(self) -> None:
        response = await self.get(f"?token={self.dashboard.token}")
        assert response.code == 302

    async def socket(self, **headers: str) -> WebSocketClientConnection:
        url = self.dashboard.url.replace("http", "ws", 1) + "socket"
        return await websocket_connect(HTTPRequest(url, headers={"Cookie": self.cookie, **headers}))

    def close(self) -> None:
        self._client.close()


async def hear(connection: WebSocketClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            text = await connection.read_message()
            assert text is not None
            message: dict[str, Any] = json.loads(text)
            if message["type"] == kind:
                return message


async def until_closed(connection: WebSocketClientConnection) -> None:
    async with asyncio.timeout(20):
        while await connection.read_message() is not None:
            pass
    connection.close()  # our side, too


def test_the_token_is_exchanged_for_a_cookie() -> None:
    async def story() -> None:
        dashboard = Dashboard()
        async with Scheduler(port=0, dashboard=dashboard):
            visitor = Visitor(dashboard)
            response = await visitor.get(f"?token={dashboard.token}&panes=load")
            assert response.code == 302
            assert response.headers["Location"] == "./?panes=load"  # the token has left the address
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Lax" in cookie
            assert dashboard.token not in cookie
            assert (await visitor.get()).code == 200
            assert (await visitor.get("no-such-file")).code == 404
            visitor.close()

    asyncio.run(story())


@pytest.mark.parametrize("path", ["", "index.html", "standalone.js", "socket", "nothing/at/all", "?token=wrong", "?token=", "socket?token=wrong"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nobody_else_sees_anything(path: str, method: str) -> None:
    async def story() -> None:
        dashboard = Dashboard()
        async with Scheduler(port=0, dashboard=dashboard):
            visitor = Visitor(dashboard)
            response = await visitor.get(path, method)
            assert response.code == 403
            assert dashboard.token not in str(response.body)
            visitor.cookie = f"jupyterfut-{dashboard.port}=guess"
            assert (await visitor.get(path, method)).code == 403
            visitor.close()

    asyncio.run(story())


def test_other_names_and_other_pages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        dashboard = Dashboard()
        async with Scheduler(port=0, dashboard=dashboard):
            visitor = Visitor(dashboard)
            await visitor.enter()
            assert (await visitor.get(Host="localhost:1")).code == 200  # a forwarded port
            assert (await visitor.get(Host="evil.example")).code == 403  # DNS rebinding
            for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Cookie": ""}):
                with pytest.raises(Exception, match="403"):
                    await visitor.socket(**headers)
            connection = await visitor.socket(Origin=dashboard.url.rstrip("/"))
            connection.close()
            await until_closed(connection)
            visitor.close()

    asyncio.run(story())


def test_a_page_hears_of_the_cluster_until_it_ends() -> None:
    async def story() -> None:
        dashboard = Dashboard(kernel="k1", session="/home/me/study.ipynb", owner="kernel")
        async with Scheduler(port=0, name="mine", dashboard=dashboard) as s:
            visitor = Visitor(dashboard)
            await visitor.enter()
            connection = await visitor.socket()
            (info,) = (await hear(connection, "clusters"))["clusters"]
            assert (info["name"], info["kernel"], info["owner"], info["address"]) == ("mine", "k1", "kernel", s.address)
            await connection.write_message(json.dumps({"type": "watch", "cluster": info["id"], "topics": {"summary": {}}}))
            assert (await hear(connection, "snapshot"))["data"]["workers"] == 0
        await until_closed(connection)
        assert (connection.close_code, connection.close_reason) == (OVER, "The scheduler has closed.")
        visitor.close()

    asyncio.run(story())


def test_tls_beyond_loopback() -> None:
    async def story() -> None:
        dashboard = Dashboard("0.0.0.0:0", tls={"cert": str(CERTIFICATES / "cert.pem"), "key": str(CERTIFICATES / "key.pem")})
        assert dashboard.link.startswith("https://")
        async with Scheduler(port=0, dashboard=dashboard):
            visitor = Visitor(dashboard)
            dashboard.url = f"https://127.0.0.1:{dashboard.port}/"
            response = await visitor.get(f"?token={dashboard.token}")
            assert "Secure" in response.headers["Set-Cookie"]
            assert (await visitor.get()).code == 200
            visitor.close()

    asyncio.run(story())


def test_a_taken_port_is_replaced_and_a_bad_address_is_none(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with caplog.at_level(logging.WARNING):
            dashboard = Dashboard(f":{port}")
        assert dashboard.port != port
        assert f"it is at port {dashboard.port}" in caplog.text
        dashboard.abandon()
    assert serve("192.0.2.1:0") is None  # no address of this machine
    assert "there is no dashboard" in caplog.text
    with pytest.raises(ConfigError, match="host and a port"):
        LocalCluster(n_workers=0, dashboard_address="here:there")
    with pytest.raises(ConfigError, match="other machines"):
        LocalCluster(n_workers=0, dashboard_address="0.0.0.0:0")


def test_the_link_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_PREFIX", "/user/me")
    use(Settings.from_dict({"dashboard": {"link": "https://hub.example{HUB_PREFIX}/proxy/{port}"}}))
    dashboard = Dashboard()
    assert dashboard.link == f"https://hub.example/user/me/proxy/{dashboard.port}/?token={dashboard.token}"
    dashboard.abandon()
    use(Settings.from_dict({"dashboard": {"link": "https://hub{NO_SUCH}/"}}))
    with pytest.raises(ConfigError, match=r"dashboard\.link"):
        Dashboard()


@pytest.mark.parametrize("processes", [True, False])
def test_where_the_link_is_found(processes: bool) -> None:
    with LocalCluster(n_workers=0, processes=processes) as cluster, Client(cluster, set_as_default=False) as client:
        assert cluster.dashboard_link.startswith("http://127.0.0.1:")
        assert client.dashboard_link == cluster.dashboard_link
    with LocalCluster(n_workers=0, processes=processes, dashboard_address=None) as cluster, Client(cluster, set_as_default=False) as client:
        assert cluster.dashboard_link == client.dashboard_link == ""


def test_nothing_is_imported_before_somebody_looks() -> None:
    code = (
        "import sys; from jupyterfut.diagnostics.dashboard import Dashboard; d = Dashboard(); d.abandon(); "
        "assert not {'tornado', 'asyncio', 'msgpack'} & sys.modules.keys(), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_visitor_who_says_nothing_keeps_nobody() -> None:
    async def story() -> None:
        dashboard = Dashboard()
        async with Scheduler(port=0, dashboard=dashboard):
            mute = socket.create_connection(("127.0.0.1", dashboard.port))
            visitor = Visitor(dashboard)
            await visitor.enter()
            visitor.close()
        mute.close()

    asyncio.run(story())

"""Who may come in, and what is told to those who ask for what makes no sense. No cluster runs here."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from jupyterfut.notebook.server.extension import ID

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def paths(server: Any) -> list[str]:
    """All that the extension answers to."""
    found = [pattern.replace(ID, "x") for pattern, *_ in server.extension.handlers]
    assert len(found) == 9
    return found


async def knock(client: Any, verb: str, url: str, **headers: str) -> int:
    body = "{}" if verb in ("POST", "PUT", "PATCH") else None
    try:
        answer = await client.fetch(url, method=verb, body=body, headers=headers, allow_nonstandard_methods=True, follow_redirects=False)
    except HTTPClientError as error:
        return int(error.code)
    return int(answer.code)


async def test_nobody_comes_in_without_a_login(server: Any, http_server_client: Any, jp_base_url: str) -> None:
    for path in paths(server):
        for verb in VERBS:
            url = jp_base_url.rstrip("/") + path
            assert await knock(http_server_client, verb, url) == 403, (verb, path)
            assert await knock(http_server_client, verb, url, Authorization="token wrong") == 403, (verb, path)
            assert await knock(http_server_client, verb, url + "?token=wrong") == 403, (verb, path)
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x" * 22 + "=="}
            assert await knock(http_server_client, verb, url, **upgrade) == 403, (verb, path)
    assert server.extension._registry is None  # nothing has been looked for, nothing was started


async def log_in(client: Any, base: str, token: str) -> tuple[str, str]:
    """As a browser does: its cookies, and the XSRF token."""
    form = await client.fetch(f"{base}/login", follow_redirects=False, raise_error=False)
    login = await client.fetch(f"{base}/login?" + urlencode({"token": token}), follow_redirects=False, raise_error=False)
    lines = form.headers.get_list("Set-Cookie") + login.headers.get_list("Set-Cookie")
    cookies = dict(line.split(";")[0].split("=", 1) for line in lines)
    assert any(name.startswith("username-") for name in cookies)
    return "; ".join(f"{name}={value}" for name, value in cookies.items()), cookies["_xsrf"]


async def test_a_cookie_needs_the_xsrf_token_too(server: Any, http_server_client: Any, jp_base_url: str, jp_serverapp: Any) -> None:
    base = jp_base_url.rstrip("/")
    cookie, xsrf = await log_in(http_server_client, base, jp_serverapp.identity_provider.token)
    assert await knock(http_server_client, "GET", f"{base}/jupyterfut/api/types", Cookie=cookie, Referer=http_server_client.get_url(base)) == 200
    for path in paths(server):
        for verb in ("POST", "PUT", "PATCH", "DELETE"):
            assert await knock(http_server_client, verb, base + path, Cookie=cookie) == 403, (verb, path)
            assert await knock(http_server_client, verb, base + path, Cookie=cookie, **{"X-XSRFToken": "wrong"}) == 403, (verb, path)
    right = {"Cookie": cookie, "X-XSRFToken": xsrf}
    assert await knock(http_server_client, "DELETE", f"{base}/jupyterfut/api/clusters/x", **right) == 404  # it comes in, and there is no such cluster
    assert await knock(http_server_client, "DELETE", f"{base}/jupyterfut/api/clusters/x", **right, Origin="http://elsewhere.example") in (403, 404)
    assert await knock(http_server_client, "GET", f"{base}/jupyterfut/api/clusters", Cookie=cookie, Origin="http://elsewhere.example") == 404


async def test_the_socket_is_for_pages_of_this_server_that_are_logged_in(
    server: Any, http_server_client: Any, jp_base_url: str, jp_serverapp: Any
) -> None:
    url = http_server_client.get_url(f"{jp_base_url}jupyterfut/api/socket").replace("http", "ws", 1)
    with pytest.raises(HTTPClientError, match="403"):
        await websocket_connect(url)
    with pytest.raises(HTTPClientError, match="403"):
        await websocket_connect(f"{url}?token=wrong")
    cookie, _xsrf = await log_in(http_server_client, jp_base_url.rstrip("/"), jp_serverapp.identity_provider.token)
    with pytest.raises(HTTPClientError, match="403"):
        await websocket_connect(HTTPRequest(url, headers={"Cookie": cookie, "Origin": "http://elsewhere.example"}))
    async with server.socket() as page:
        assert await page.hear() == {"type": "clusters", "clusters": []}
        await page.say(type="nonsense")
        assert "does not understand" in (await page.until("trouble"))["text"]
        await page.say(type="ask", id=1, cluster="x", op="story", args={})
        assert "no cluster 'x'" in (await page.until("answer"))["error"]
        await page.say(type="ask", id=2, cluster="x", op="shutdown", args={})
        assert "may not ask" in (await page.until("answer"))["error"]
    with pytest.raises(HTTPClientError, match="400"):  # a GET that is no websocket's
        await server._fetch("jupyterfut", "api", "socket")


async def test_unknown_clusters_are_404(server: Any) -> None:
    for method, path in [
        ("GET", ("clusters", "x")), ("PATCH", ("clusters", "x")), ("DELETE", ("clusters", "x")), ("POST", ("clusters", "x", "restart")),
        ("GET", ("clusters", "x", "logs")), ("DELETE", ("remotes", "x")), ("DELETE", ("clusters", "new-abcdef")),
    ]:  # fmt: skip
        answer = await server.ask(method, *path, body={"n_workers": 1} if method == "PATCH" else {} if method == "POST" else None)
        assert answer.status == 404, (method, path)
        assert "no" in answer.message
    assert (await server.ask("PUT", "clusters", body={})).status == 405
    assert (await server.ask("GET", "clusters", "../../secrets")).status == 404


async def test_what_makes_no_sense_is_400_and_says_why(server: Any) -> None:
    wrong: list[tuple[tuple[str, ...], Any, str]] = [
        (("clusters",), "{", "Invalid JSON"),
        (("clusters",), [], "JSON object"),
        (("clusters",), {"n_worker": 1}, "no 'n_worker'"),
        (("clusters",), {"n_workers": -1}, "n_workers"),
        (("clusters",), {"n_workers": True}, "n_workers"),
        (("clusters",), {"n_workers": 10**9}, "n_workers"),
        (("clusters",), {"threads_per_worker": 0}, "threads_per_worker"),
        (("clusters",), {"memory_limit": "lots"}, "memory_limit"),
        (("clusters",), {"resources": {"GPU": -1}}, "resources"),
        (("clusters",), {"name": "../etc"}, "name"),
        (("clusters",), {"name": 7}, "name"),
        (("clusters",), {"detached": "yes"}, "detached"),
        (("clusters",), {"type": "cloud"}, "no type of cluster 'cloud'"),
        (("clusters",), {"environment": "nowhere"}, "environment: there is no 'nowhere'"),
        (("clusters",), {"adapt": {"minimum": 4, "maximum": 2}}, "below the minimum"),
        (("clusters",), {"options": {"ssh": "rm -rf"}}, "no 'ssh'"),
        (("clusters",), {"type": "ssh"}, "hosts"),
        (("clusters",), {"type": "ssh", "options": {"hosts": ["-oProxyCommand=x", "b"]}}, "hosts"),
        (("clusters",), {"type": "ssh", "options": {"hosts": "a b", "tls": {"ca": "/no/file"}}}, "tls.ca"),
        (("clusters",), "x" * 200_000, "too much"),
        (("remotes",), {}, "address"),
        (("remotes",), {"address": "tcp://h:1"}, "token"),
        (("remotes",), {"address": "inproc://x", "token": "t"}, "address"),
        (("remotes",), {"address": "tcp://h", "token": "t"}, "address"),
        (("remotes",), {"address": "tcp://h:1", "token": "t", "tls_ca": "/no/file"}, "tls_ca"),
    ]
    for path, body, said in wrong:
        answer = await server.ask("POST", *path, body=body)
        assert (answer.status, said in answer.message) == (400, True), (body, answer.text)
    assert (await server.ask("GET", "clusters")).json == {"clusters": []}


async def test_types_and_environments_are_told(server: Any) -> None:
    local, ssh = (await server.ask("GET", "types")).json["types"]
    assert (local["name"], ssh["name"]) == ("local", "ssh")
    assert {"n_workers", "threads_per_worker", "memory_limit", "detached"} == {option["name"] for option in local["options"]}
    known = (await server.ask("GET", "environments")).json["environments"]
    assert known[0]["default"]
    assert "echo" not in [each["name"] for each in known]  # a kernel of another language


class Visitors(Authorizer):
    """People who may look."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "jupyterfut" or action == "read"


class TestVisitors:
    @pytest.fixture
    def jp_server_config(self, extension_settings: dict[str, Any]) -> dict[str, Any]:
        settings = {"start_clusters": False, "remote_clusters": False}
        return {"ServerApp": {"jpserver_extensions": {"jupyterfut": True}, "authorizer_class": Visitors}, "JupyterfutExtension": settings}

    async def test_who_may_only_look_changes_nothing(self, server: Any) -> None:
        assert (await server.ask("GET", "clusters")).status == 200
        async with server.socket() as page:
            assert (await page.hear())["type"] == "clusters"
        for method, *path in [("POST", "clusters"), ("PATCH", "clusters", "x"), ("DELETE", "clusters", "x"), ("POST", "remotes")]:
            answer = await server.ask(method, *path, body={} if method != "DELETE" else None)
            assert (answer.status, "not authorized" in answer.message) == (403, True), (method, path)


class TestOtherOrigins:
    @pytest.fixture
    def jp_server_config(self, extension_settings: dict[str, Any]) -> dict[str, Any]:
        return {"ServerApp": {"jpserver_extensions": {"jupyterfut": True}, "allow_origin": "https://lab.example"}}

    async def test_a_browser_may_ask_whether_it_may_ask(self, server: Any, http_server_client: Any, jp_base_url: str) -> None:
        url = jp_base_url.rstrip("/") + "/jupyterfut/api/clusters"
        assert await knock(http_server_client, "OPTIONS", url, Origin="https://lab.example") < 300
        for verb in VERBS[:-1]:
            assert await knock(http_server_client, verb, url, Origin="https://lab.example") == 403
        assert server.extension._registry is None


class TestRestricted:
    @pytest.fixture
    def extension_settings(self) -> dict[str, Any]:
        return {"start_clusters": False, "remote_clusters": False}

    async def test_a_server_may_start_none(self, server: Any) -> None:
        assert (await server.ask("GET", "types")).json == {"types": []}
        refused = await server.ask("POST", "clusters", body={})
        assert (refused.status, "start_clusters" in refused.message) == (403, True)
        refused = await server.ask("POST", "remotes", body={"address": "tcp://127.0.0.1:1", "token": "t"})
        assert (refused.status, "remote_clusters" in refused.message) == (403, True)


def test_settings_that_make_no_sense_are_refused_at_once() -> None:
    from traitlets import TraitError

    from jupyterfut.notebook.server.extension import JupyterfutExtension

    with pytest.raises(TraitError, match="n_workers"):
        JupyterfutExtension(defaults={"n_workers": -1})
    assert JupyterfutExtension(defaults={"n_workers": 4}).defaults == {"n_workers": 4}


def test_the_extension_is_found() -> None:
    import jupyterfut

    [point] = jupyterfut._jupyter_server_extension_points()
    assert point["app"].name == "jupyterfut"
    assert json.dumps(point["module"]) == '"jupyterfut.notebook.server"'

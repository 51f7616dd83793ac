"""The doors of the server extension, `{base_url}jupyterfut/api/...`: every one, and every verb, for those who are logged in.

    GET    clusters                 the list                      GET   types              what can be started, with which options
    POST   clusters                 start one                     GET   environments       with which Pythons
    GET    clusters/<id>            one line of the list          POST  remotes            list one that runs elsewhere
    PATCH  clusters/<id>            resize or adapt it            DELETE remotes/<id>      list it no more
    POST   clusters/<id>/restart    replace its workers           GET   socket             a websocket (`page`)
    DELETE clusters/<id>            end it
    GET    clusters/<id>/logs       what it says

Who comes with a cookie must bring the XSRF token as well (Jupyter Server checks it, before anything here runs); the server's own token does without.
What is wrong is told as {"message": text}: 400 the request makes no sense, 403 not logged in or not allowed, 404 no such cluster, 409 it does not go
together with what there is, 504 the cluster does not answer. 202 stands for what has begun and is not done yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web

from jupyterfut.diagnostics.clusters import NoSuchCluster
from jupyterfut.errors import ConfigError, ConnectionFailed, HandshakeError, JupyterfutError, NotRetired, TimeoutError  # noqa: A004
from jupyterfut.notebook.server import environments, forms
from jupyterfut.notebook.server.registry import Conflict, Registry

if TYPE_CHECKING:
    from jupyterfut.notebook.server.extension import JupyterfutExtension

RESOURCE = "jupyterfut"
"""What an authorizer of the server (`c.ServerApp.authorizer_class`) decides about: to read (look), to write (start, change, stop)."""

BODY_LIMIT = 100_000
LOG_LINES, LOG_LINES_LIMIT = 200, 2_000

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (NoSuchCluster, 404),
    (Conflict, 409),
    (NotRetired, 409),
    (HandshakeError, 400),
    (TimeoutError, 504),
    (ConnectionFailed, 504),
    (ConfigError, 400),
    (PermissionError, 403),
    (ValueError, 400),
)
"""Errors -> what a page is answered with; the first that fits. Whatever else a cluster says is 500."""


class LoggedIn(JupyterHandler):
    """Nobody comes in without a login, whatever the verb, also those that a handler does not know."""

    auth_resource = RESOURCE

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Before any verb."""
        await super().prepare(*args, **kwargs)
        if self.current_user is None and not self._is_preflight():
            raise web.HTTPError(403)

    def _is_preflight(self) -> bool:
        """A browser asks, without credentials, whether a page from elsewhere may come; but only where the server's owner lets such pages in."""
        return self.request.method == "OPTIONS" and bool(self.allow_origin or self.allow_origin_pat)

    @property
    def extension(self) -> JupyterfutExtension:
        """Ours, in this server."""
        found: JupyterfutExtension = self.settings["jupyterfut"]
        return found


class Door(LoggedIn, APIHandler):
    """A REST handler. Each verb hands a coroutine function to `answer`, which returns what is answered, or (status, what); None is 204."""

    async def answer(self, verb: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Do it, and answer, with the error if need be."""
        try:
            result = await verb(await self.extension.registry(), *args)
        except (JupyterfutError, PermissionError, ValueError) as error:
            text = str(error) or type(error).__name__
            status = next((code for kind, code in _CODES if isinstance(error, kind)), 500)
            if status >= 500:
                self.log.warning("%s %s: %s", self.request.method, self.request.path, text)
            self.set_status(status)
            self.finish({"message": text})
            return
        if result is None:
            self.set_status(204)
            self.finish()
            return
        status, value = result if isinstance(result, tuple) else (200, result)
        self.set_status(status)
        self.finish(value)

    def body(self) -> Any:
        """What the page has sent; nothing is an empty object."""
        if len(self.request.body) > BODY_LIMIT:
            raise forms.BadForm(f"more than {BODY_LIMIT} bytes are too much")
        value = self.get_json_body()
        return {} if value is None else value

    @allow_unauthenticated
    def options(self, *args: Any, **kwargs: Any) -> None:
        """As everywhere in Jupyter Server, but for who is logged in (`LoggedIn._is_preflight` says for whom else)."""
        super().options(*args, **kwargs)


class ClustersHandler(Door):
    """The list."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """All clusters."""
        await self.answer(self._list)

    async def _list(self, registry: Registry) -> Any:
        await registry.look()
        return {"clusters": registry.clusters.infos()}

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Start one."""
        await self.answer(self._start)

    async def _start(self, registry: Registry) -> Any:
        if not self.extension.start_clusters:
            raise PermissionError("this server starts no clusters (JupyterfutExtension.start_clusters)")
        wanted = forms.start(self.body(), self.extension.defaults)
        chosen = await self.environment(wanted.environment)
        await registry.look()
        info = await registry.launch({**wanted.wish, "name": wanted.name or registry.free_name()}, chosen)
        self.set_header("Location", f"{self.base_url}jupyterfut/api/clusters/{info['id']}")
        return (202 if info["state"] == "starting" and not info["address"] else 201), info

    async def environment(self, name: str) -> environments.Environment:
        """The one that was asked for; without a name, the server's own. Raises BadForm."""
        known = await _environments(self)
        if not name:
            return known[0]
        for each in known:
            if each.name == name:
                return each
        raise forms.BadForm(f"environment: there is no {name!r} (there are: {', '.join(repr(each.name) for each in known if each.name)})")


class ClusterHandler(Door):
    """One cluster."""

    @web.authenticated
    @authorized
    async def get(self, cluster: str) -> None:
        """Its line."""
        await self.answer(self._info, cluster)

    async def _info(self, registry: Registry, cluster: str) -> Any:
        await registry.look()
        return registry.info(cluster)

    @web.authenticated
    @authorized
    async def patch(self, cluster: str) -> None:
        """Resize or adapt it."""
        await self.answer(self._resize, cluster)

    async def _resize(self, registry: Registry, cluster: str) -> Any:
        registry.info(cluster)
        done = await registry.resize(cluster, forms.resize(self.body()))
        return (200 if done else 202), registry.info(cluster)

    @web.authenticated
    @authorized
    async def delete(self, cluster: str) -> None:
        """End it."""
        await self.answer(self._stop, cluster)

    async def _stop(self, registry: Registry, cluster: str) -> None:
        await registry.stop(cluster)


class RestartHandler(Door):
    """Its workers."""

    @web.authenticated
    @authorized
    async def post(self, cluster: str) -> None:
        """Replace them all."""
        await self.answer(self._restart, cluster)

    async def _restart(self, registry: Registry, cluster: str) -> Any:
        done = await registry.restart(cluster)
        return (200 if done else 202), registry.info(cluster)


class LogsHandler(Door):
    """What it says."""

    @web.authenticated
    @authorized
    async def get(self, cluster: str) -> None:
        """The newest lines (`?n=` of each kind)."""
        await self.answer(self._logs, cluster)

    async def _logs(self, registry: Registry, cluster: str) -> Any:
        given = self.get_query_argument("n", str(LOG_LINES))
        if not given.isascii() or not given.isdecimal() or len(given) > 9:
            raise forms.BadForm("n: is a number of lines")
        registry.info(cluster)
        return await registry.logs(cluster, max(1, min(int(given), LOG_LINES_LIMIT)))


class TypesHandler(Door):
    """What can be started."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The types, with their options."""
        await self.answer(self._types)

    async def _types(self, registry: Registry) -> Any:
        return {"types": forms.types(self.extension.defaults) if self.extension.start_clusters else []}


class EnvironmentsHandler(Door):
    """The Pythons to start clusters with."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Those of the kernels; the first is the default."""
        await self.answer(self._environments)

    async def _environments(self, registry: Registry) -> Any:
        found = await _environments(self)
        return {"environments": [{"name": each.name, "title": each.title, "python": each.python, "default": each is found[0]} for each in found]}


class RemotesHandler(Door):
    """Clusters that run elsewhere."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """List one."""
        await self.answer(self._add)

    async def _add(self, registry: Registry) -> Any:
        if not self.extension.remote_clusters:
            raise PermissionError("this server shows no clusters of other machines (JupyterfutExtension.remote_clusters)")
        return 201, await registry.add_remote(forms.remote(self.body()))


class RemoteHandler(Door):
    """One that was listed."""

    @web.authenticated
    @authorized
    async def delete(self, cluster: str) -> None:
        """List it no more. It runs on."""
        await self.answer(self._remove, cluster)

    async def _remove(self, registry: Registry, cluster: str) -> None:
        registry.remove_remote(cluster)


async def _environments(handler: LoggedIn) -> list[environments.Environment]:
    specs = await ensure_async(handler.kernel_spec_manager.get_all_specs())
    return environments.environments(specs)

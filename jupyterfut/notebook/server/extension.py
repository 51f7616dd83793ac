"""The application that Jupyter Server loads: settings, doors, and the end of what was started.

Until the first page asks, nothing but this module is there: no thread, no connection, no look at any file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Dict, Float, Unicode, validate
from traitlets.traitlets import TraitError

if TYPE_CHECKING:
    from jupyterfut.notebook.server.page import PageSocket
    from jupyterfut.notebook.server.registry import Registry

API = r"/jupyterfut/api"
ID = r"([A-Za-z0-9_-]{1,80})"


class JupyterfutExtension(ExtensionApp):
    """Clusters of jupyterfut in Jupyter: found, started, stopped, shown."""

    name = "jupyterfut"
    app_name = "jupyterfut"
    description = "Clusters of jupyterfut: the server's side of the sidebar and the dashboard."
    load_other_extensions = True
    open_browser = False

    start_clusters = Bool(True, help="Whether pages may start clusters.").tag(config=True)
    remote_clusters = Bool(True, help="Whether pages may add clusters that run elsewhere, by address and token.").tag(config=True)
    defaults = Dict(
        help="""What a new cluster is like when the page leaves it open: type, n_workers, threads_per_worker, memory_limit, resources, detached,
        environment, adapt, and options, which are a type's own, such as {"n_workers": 4, "memory_limit": "2GB"}."""
    ).tag(config=True)
    directory = Unicode(help="Where the clusters that this server starts run; empty: where its notebooks are.").tag(config=True)
    answer_timeout_s = Float(10.0, help="How long a cluster may take to answer, in seconds.").tag(config=True)
    start_timeout_s = Float(15.0, help="After so long a cluster that is being started is answered as one that is starting still.").tag(config=True)
    stop_timeout_s = Float(20.0, help="How long a cluster that was told to end may take before it is killed, in seconds.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pages: set[PageSocket] = set()
        self._registry: asyncio.Task[Registry] | None = None
        self._jobs: set[asyncio.Task[None]] = set()

    @validate("defaults")  # type: ignore[untyped-decorator]  # traitlets'
    def _check_defaults(self, proposal: Any) -> Any:
        from jupyterfut.errors import ConfigError
        from jupyterfut.notebook.server import forms

        try:
            forms.start({}, proposal["value"])
        except ConfigError as error:
            raise TraitError(f"JupyterfutExtension.defaults: {error}") from error
        return proposal["value"]

    def initialize_settings(self) -> None:
        """Nothing yet: `registry` begins with the first question."""

    def initialize_handlers(self) -> None:
        """The doors."""
        from jupyterfut.notebook.server import handlers, page

        self.handlers.extend(
            [
                (rf"{API}/clusters", handlers.ClustersHandler),
                (rf"{API}/clusters/{ID}", handlers.ClusterHandler),
                (rf"{API}/clusters/{ID}/restart", handlers.RestartHandler),
                (rf"{API}/clusters/{ID}/logs", handlers.LogsHandler),
                (rf"{API}/types", handlers.TypesHandler),
                (rf"{API}/environments", handlers.EnvironmentsHandler),
                (rf"{API}/remotes", handlers.RemotesHandler),
                (rf"{API}/remotes/{ID}", handlers.RemoteHandler),
                (rf"{API}/socket", page.PageSocket),
            ]
        )

    async def registry(self) -> Registry:
        """The clusters. The first call begins to look for them."""
        if self._registry is None or (self._registry.done() and self._registry.exception() is not None):  # then there was no such directory
            self._registry = asyncio.get_running_loop().create_task(self._begin())
        return await asyncio.shield(self._registry)

    async def _begin(self) -> Registry:
        from jupyterfut.notebook.server.registry import Limits, Registry

        directory = self.directory or (self.serverapp.root_dir if self.serverapp is not None else "") or "."
        limits = Limits(self.answer_timeout_s, self.start_timeout_s, self.stop_timeout_s)
        registry = Registry(directory=directory, limits=limits, log=self.log)
        await registry.start()
        return registry

    def run(self, job: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for; the end of the server does."""
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def stop_extension(self) -> None:
        """The server ends: so do its clusters, but for the detached ones."""
        await asyncio.gather(*(page.shut() for page in list(self.pages)))
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self._registry is not None:
            [found] = await asyncio.gather(self._registry, return_exceptions=True)
            if not isinstance(found, BaseException):
                await found.close()

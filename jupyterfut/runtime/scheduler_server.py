"""The scheduler's server: streams around `core/scheduler`'s machine.

It accepts connections (`comm.listen`: the token is proven before anything is read), gives each a peer number, hands what arrives to the machine and
sends what the machine says, all that was said in one tick to one peer as one frame. It decides nothing about tasks. A client's stream carries a
resumable session (`runtime/peer`): when it breaks, the machine starts the client's lease; when the client is back in time, nothing was lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from jupyterfut import comm
from jupyterfut.comm import Security, Stream
from jupyterfut.config import Settings, settings
from jupyterfut.core.effects import Close, Effect, LinkLost, Log, Received, Send, Tick
from jupyterfut.core.scheduler import SchedulerConfig, SchedulerMachine
from jupyterfut.core.scheduler.state import ClientState, TaskState, WorkerState
from jupyterfut.ids import Address, ClientId, Key, PeerId
from jupyterfut.runtime import connections, interfaces, logs
from jupyterfut.runtime.gauges import Gauges
from jupyterfut.runtime.insider import InsiderDoor
from jupyterfut.runtime.nanny_admin import Answer, NannyDoor
from jupyterfut.runtime.peer import Link, accept
from jupyterfut.runtime.scheduler_admin import SchedulerAdmin
from jupyterfut.wire.messages import AsClient, ClientHello, Goodbye, Message, NannyHello, Reply, Request, WorkerDied, WorkerHello

if TYPE_CHECKING:
    from jupyterfut.runtime.own_lines import OwnLines

logger = logging.getLogger("jupyterfut.scheduler")


class Door(Protocol):
    """What shows a scheduler to people: `diagnostics.dashboard.Dashboard`."""

    link: str  #: where, with the token that opens it

    def begin(self, scheduler: Scheduler) -> None:
        """From now on."""

    async def close(self) -> None:
        """It ends. Soon."""


class Scheduler:
    """A scheduler that listens at `address`. Use as `async with Scheduler(port=0) as s:`, or `await s.start()` and `await s.close()`.

    `host` and `port` say where to listen (loopback and any free port by default; `host="inproc"`: inside this process only; `sock`: a bound socket).
    `token` is what every connection must prove to know; without one a fresh token is made, which clients and workers in this process find by
    themselves. `allow_run`: whether clients may run functions and plugins in it; default: the setting `scheduler.allow_run`, whose "auto" means yes
    here (`jupyterfut scheduler` says no). `dashboard`: what shows it to people, from `start` to `close`. Nothing blocks but the two coroutines; the
    machine's time is the event loop's. Raises `ConnectionFailed` if it cannot listen.

    >>> import asyncio
    >>> async def main():
    ...     async with Scheduler(port=0) as s:
    ...         return s.address.startswith("tcp://127.0.0.1:")
    >>> asyncio.run(main())
    True
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        token: str | None = None,
        security: Security | None = None,
        config: Settings | None = None,
        name: str = "scheduler",
        sock: socket.socket | None = None,
        allow_run: bool | None = None,
        dashboard: Door | None = None,
    ) -> None:
        self.name = name
        self.dashboard = dashboard
        self.started = 0.0  #: when, in seconds since 1970
        self.config = config or settings()
        security = security or Security()
        if token is None:
            token = security.token or secrets.token_urlsafe(32)
        self.token = token
        self.security = Security(token, security.tls_cert, security.tls_key, security.tls_ca, security.tls_client_certs)
        self.id = f"scheduler-{secrets.token_hex(8)}"
        self.address = Address("")
        self.machine = SchedulerMachine(machine_config(self.config))
        self.admin = SchedulerAdmin(self, self.config.scheduler.allow_run != "no" if allow_run is None else allow_run)
        self._where = (host, port, sock)
        self._links: dict[PeerId, Link | NannyDoor | InsiderDoor] = {}
        self._clients: dict[ClientId, PeerId] = {}  # those with a resumable link
        self._gauges = Gauges(self._links)
        self._gauges.serve(self.machine.panes, lambda: "cluster_scale" in self.admin.ops)
        self._own_lines: OwnLines | None = None  # made when somebody looks at events
        self.machine.panes.listen = self._listen
        self._next_peer = 1
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = 0.0
        self._listener: comm.Listener | None = None
        self._finished = asyncio.Event()
        self._closed = False

    def __repr__(self) -> str:
        state = self.machine.state
        return f"<Scheduler {self.name} {self.address or 'not started'} workers: {len(state.workers)} tasks: {len(state.tasks)}>"

    # --- life

    async def start(self) -> Scheduler:
        """Listen. Returns itself."""
        self._loop = asyncio.get_running_loop()
        self.started = time.time()
        self.machine.state.epoch_s = self.started - self._loop.time()
        host, port, sock = self._where
        if sock is not None:
            contact = sock.getsockname()
            scheme = "tls" if self.security.tls_cert else "tcp"
            where = interfaces.join(scheme, interfaces.reachable_host(contact[0]), contact[1])
        elif host == "inproc":
            where = "inproc://"
        else:
            where = interfaces.join("tls" if self.security.tls_cert else "tcp", host, port)
        hello = {"role": "scheduler", "id": self.id}
        self._listener = await comm.listen(where, self._on_stream, security=self.security, hello=hello, sock=sock)
        logs.acquire(self.config.scheduler.log_lines)
        self.address = self._listener.address
        connections.remember_token(self.address, self.token)
        if self.dashboard is not None:
            self.machine.members.dashboard_link = self.dashboard.link
            self.dashboard.begin(self)
        logger.info("scheduler %s listens at %s", self.name, self.address)
        return self

    async def close(self) -> None:
        """Say goodbye to clients and workers, which end with it, stop listening and end every stream. What was held here is gone. A second call does
        nothing."""
        if self._closed:
            return
        self._closed = True
        self._listen(False)
        if self._wake is not None:
            self._wake.cancel()
        if self.dashboard is not None:
            await self.dashboard.close()
        if self._listener is not None:
            logs.release()
            self._listener.close()
            connections.forget_token(self.address)
        await self.admin.close()
        links = list(self._links.values())
        self._links.clear()
        for link in links:
            link.send(Goodbye("the scheduler was closed"))  # so nobody waits for it to come back
            link.close()
        await asyncio.gather(*(link.wait_closed() for link in links))
        self._finished.set()

    @property
    def closed(self) -> bool:
        """Whether it has been closed, or is being closed."""
        return self._closed

    async def finished(self) -> None:
        """Return when the scheduler has been closed, by whomever."""
        await self._finished.wait()

    async def __aenter__(self) -> Scheduler:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- what comes in

    def _on_stream(self, stream: Stream) -> None:
        accept(stream, self._on_first)

    def _on_first(self, stream: Stream, acknowledged: int, messages: list[Message]) -> None:
        """A stream has said its first words: a client that goes on with its conversation, or somebody new."""
        if self._closed:
            stream.abort()
            return
        hello = messages[0]
        if type(hello) is ClientHello or type(hello) is WorkerHello:
            logger.info("%s %s has connected from %s", "client" if type(hello) is ClientHello else "worker", hello.name, stream.peer_address)
        if type(hello) is ClientHello:
            known = self._clients.get(hello.client)
            if known is not None and self.machine.knows(hello):
                link = self._links[known]
                assert isinstance(link, Link)
                link.attach(stream, acknowledged)
                self._on_messages(known, messages)
                return
        peer = PeerId(self._next_peer)
        self._next_peer += 1
        link = Link(
            partial(self._on_messages, peer),
            partial(self._on_lost, peer),
            resumable=type(hello) is ClientHello,
        )
        self._links[peer] = link
        if type(hello) is ClientHello:
            self._clients[hello.client] = peer
        link.attach(stream, acknowledged)
        self._on_messages(peer, messages)

    def _on_messages(self, peer: PeerId, messages: list[Message]) -> None:
        handle = self.machine.handle
        now = self._loop.time()
        self._gauges.received += len(messages)
        for message in messages:
            if peer not in self._links:
                return
            if type(message) is Request and message.op == "shutdown":
                self._shut_down(peer, message.id)
                return
            if (type(message) is Request or type(message) is AsClient) and self.admin.asked(peer, message):
                continue
            self._perform(handle(Received(peer, message), now))
            if self.admin.watching:
                self.admin.after(message)
        self._ask_for_tick()

    def _shut_down(self, peer: PeerId, request: int) -> None:
        """A client wants the whole cluster to end. It is answered first."""
        self._links[peer].send(Reply(request, None, None))
        self._closing = self._loop.create_task(self.close())

    def _on_lost(self, peer: PeerId, reason: str) -> None:
        link = self._links.get(peer)
        if link is not None:
            if link.closed:
                self._forget_link(peer)
            self._handle(LinkLost(peer, reason))

    def _listen(self, wanted: bool) -> None:
        """Somebody looks at the log lines of this process, or not any more."""
        if wanted and self._own_lines is None:
            from jupyterfut.runtime.own_lines import OwnLines

            self._own_lines = OwnLines(self.machine.panes.logged)
        if self._own_lines is not None:
            self._own_lines.listen(wanted and not self._closed)

    def _forget_link(self, peer: PeerId) -> Link | NannyDoor | InsiderDoor | None:
        link = self._links.pop(peer, None)
        for client, theirs in list(self._clients.items()):
            if theirs == peer:
                del self._clients[client]
        return link

    def _handle(self, event: Any) -> None:
        self._perform(self.machine.handle(event, self._loop.time()))
        if self.admin.watching:
            self.admin.after(None)
        self._ask_for_tick()

    def worker_died(self, name: str, pid: int, exit_code: int, text: str) -> None:
        """A nanny in this process has seen its worker's process end."""
        if not self._closed:
            nanny = PeerId(0)
            self.machine.state.peers[nanny] = None
            self._handle(Received(nanny, WorkerDied(name, pid, exit_code, text)))

    def add_nanny(self, nanny_id: str, name: str, answer: Answer) -> Callable[[], None]:
        """A nanny in this process: it hears what one with a stream would hear, through `answer(op, args)`. Returns what takes it out again."""
        peer = PeerId(self._next_peer)
        self._next_peer += 1
        self._links[peer] = NannyDoor(answer, lambda reply: self._on_messages(peer, [reply]))
        self._handle(Received(peer, NannyHello(name, os.getpid(), {"id": nanny_id})))

        def leave() -> None:
            if self._links.pop(peer, None) is not None:
                self._handle(LinkLost(peer, "closed"))

        return leave

    def add_insider(self, door: InsiderDoor) -> Callable[[Message], None]:
        """A client in this process: what it says goes through what is returned."""
        peer = PeerId(self._next_peer)
        self._next_peer += 1
        self._links[peer] = door
        return lambda message: self._on_messages(peer, [message])

    # --- for functions of `Client.run_on_scheduler`, and for plugins

    @property
    def plugins(self) -> dict[str, Any]:
        """The scheduler plugins, by name."""
        return self.admin.plugins

    @property
    def workers(self) -> dict[Address, WorkerState]:
        """The workers that are here, by address. To be read, not changed."""
        return self.machine.state.workers

    @property
    def tasks(self) -> dict[Key, TaskState]:
        """The tasks that are known, by key. To be read, not changed."""
        return self.machine.state.tasks

    @property
    def clients(self) -> dict[ClientId, ClientState]:
        """The clients, by id. To be read, not changed."""
        return self.machine.state.clients

    # --- what goes out

    def say(self, peer: PeerId, message: Message) -> None:
        """Tell a peer something that is no business of the machine's. Nothing happens if it is gone."""
        link = self._links.get(peer)
        if link is not None:
            link.send(message)
            link.hurry()

    def _perform(self, effects: list[Effect]) -> None:
        links = self._links
        told: list[Link | NannyDoor | InsiderDoor] = []
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                link = links.get(effect.peer)  # type: ignore[union-attr]  # mypy does not narrow by `type(...) is`
                if link is not None:
                    link.send(effect.message)  # type: ignore[union-attr]  # as above
                    told.append(link)
            elif kind is Close:
                self._close_peer(effect)  # type: ignore[arg-type]  # as above
            else:
                self._log(effect)  # type: ignore[arg-type]  # as above
        self._gauges.sent += len(told)
        for link in told:  # before the next message is handled, and the timer asked for: meanwhile they can begin
            link.hurry()

    def _close_peer(self, effect: Close) -> None:
        link = self._forget_link(effect.peer)
        if link is not None:
            link.close()

    def _log(self, effect: Log) -> None:
        logger.log(logging.getLevelNamesMapping()[effect.level.upper()], "%s", effect.text)

    def _ask_for_tick(self) -> None:
        at = self.machine.next_wake()
        if self._wake is not None:
            if at is not None and at >= self._wake_at:
                return  # it will look again then
            self._wake.cancel()
            self._wake = None
        if at is not None and not self._closed:
            self._wake_at = at
            self._wake = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._wake = None
        self._gauges.lag_s = max(0.0, self._loop.time() - self._wake_at)
        self._handle(Tick())


def machine_config(config: Settings) -> SchedulerConfig:
    """The machine's settings out of everybody's."""
    return SchedulerConfig(
        inline_bytes=config.worker.inline_bytes,
        allowed_failures=config.scheduler.allowed_failures,
        client_lease_s=config.scheduler.lease_s,
        worker_timeout_s=config.scheduler.worker_ttl_s,
        heartbeat_s=config.worker.heartbeat_s,
        journal_size=config.scheduler.journal_entries,
        events_kept=config.scheduler.events_kept,
        value_limit_bytes=config.scheduler.value_limit_bytes,
    )

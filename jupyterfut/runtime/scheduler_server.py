"""The scheduler's server: streams around `core/scheduler`'s machine.

It accepts connections (`comm.listen`: the token is proven before anything is read), gives each a peer number, hands what arrives to the machine and sends
what the machine says, all that was said in one tick to one peer as one frame. It decides nothing about tasks. A client's stream carries a resumable
session (`runtime/peer`): when it breaks, the machine starts the client's lease; when the client is back in time, nothing was lost.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from typing import Any

from jupyterfut import comm
from jupyterfut.comm import Security
from jupyterfut.config import Settings, settings
from jupyterfut.core.effects import Close, Effect, LinkBack, LinkLost, Log, Received, Send, Tick
from jupyterfut.core.scheduler import SchedulerConfig, SchedulerMachine
from jupyterfut.ids import Address, PeerId
from jupyterfut.runtime import connections, interfaces
from jupyterfut.runtime.peer import Acceptor, Session
from jupyterfut.wire.messages import Message, WorkerDied

logger = logging.getLogger("jupyterfut.scheduler")


class Scheduler:
    """A scheduler that listens at `address`. Use as `async with Scheduler(port=0) as s:`, or `await s.start()` and `await s.close()`.

    `host` and `port` say where to listen (loopback and any free port by default; `host="inproc"`: inside this process only; `sock`: a bound socket).
    `token` is what every connection must prove to know; without one a fresh token is made, which clients and workers in this process find by
    themselves. Nothing blocks but the two coroutines; the machine's time is the event loop's. Raises `ConnectionFailed` if it cannot listen.

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
    ) -> None:
        self.name = name
        self.config = config or settings()
        security = security or Security()
        if token is None:
            token = security.token or secrets.token_urlsafe(32)
        self.token = token
        self.security = Security(token, security.tls_cert, security.tls_key, security.tls_ca, security.tls_client_certs)
        self.id = f"scheduler-{secrets.token_hex(8)}"
        self.address = Address("")
        self.machine = SchedulerMachine(machine_config(self.config))
        self._where = (host, port, sock)
        self._sessions: dict[PeerId, Session] = {}
        self._next_peer = 1
        self._outgoing: dict[PeerId, list[Message]] = {}
        self._flush_wanted = False
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
        host, port, sock = self._where
        if sock is not None:
            contact = sock.getsockname()
            scheme = "tls" if self.security.tls_cert else "tcp"
            where = interfaces.join(scheme, interfaces.reachable_host(contact[0]), contact[1])
        elif host == "inproc":
            where = "inproc://"
        else:
            where = interfaces.join("tls" if self.security.tls_cert else "tcp", host, port)
        self._acceptor = Acceptor(self._on_session)
        self._listener = await comm.listen(where, self._acceptor.accept, security=self.security, hello={"role": "scheduler", "id": self.id}, sock=sock)
        self.address = self._listener.address
        connections.remember_token(self.address, self.token)
        return self

    async def close(self) -> None:
        """Stop listening and end every stream. What was held here is gone. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._flush()
        if self._wake is not None:
            self._wake.cancel()
        if self._listener is not None:
            self._listener.close()
            connections.forget_token(self.address)
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            session.close()
        await asyncio.gather(*(session.wait_closed() for session in sessions))
        self._finished.set()

    async def finished(self) -> None:
        """Return when the scheduler has been closed, by whomever."""
        await self._finished.wait()

    async def __aenter__(self) -> Scheduler:
        return await self.start()

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- what comes in

    def _on_session(self, session: Session) -> None:
        peer = PeerId(self._next_peer)
        self._next_peer += 1
        self._sessions[peer] = session
        session.start(
            on_messages=lambda messages: self._on_messages(peer, messages),
            on_lost=lambda reason: self._on_lost(peer, reason),
            on_back=lambda: self._handle(LinkBack(peer)),
        )

    def _on_messages(self, peer: PeerId, messages: list[Message]) -> None:
        if peer not in self._sessions:
            return
        handle = self.machine.handle
        now = self._loop.time()
        for message in messages:
            self._perform(handle(Received(peer, message), now))
        self._settle()

    def _on_lost(self, peer: PeerId, reason: str) -> None:
        session = self._sessions.get(peer)
        if session is not None:
            if not session.resumable:
                del self._sessions[peer]
            self._handle(LinkLost(peer, reason))

    def _handle(self, event: Any) -> None:
        self._perform(self.machine.handle(event, self._loop.time()))
        self._settle()

    def worker_died(self, name: str, pid: int, exit_code: int, text: str) -> None:
        """A nanny in this process has seen its worker's process end."""
        if not self._closed:
            nanny = PeerId(0)
            self.machine.state.peers[nanny] = None
            self._handle(Received(nanny, WorkerDied(name, pid, exit_code, text)))

    # --- what goes out

    def _perform(self, effects: list[Effect]) -> None:
        outgoing = self._outgoing
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                peer = effect.peer  # type: ignore[union-attr]  # mypy does not narrow by `type(...) is`
                messages = outgoing.get(peer)
                if messages is None:
                    outgoing[peer] = [effect.message]  # type: ignore[union-attr]  # as above
                else:
                    messages.append(effect.message)  # type: ignore[union-attr]  # as above
            elif kind is Close:
                self._close_peer(effect)  # type: ignore[arg-type]  # as above
            else:
                self._log(effect)  # type: ignore[arg-type]  # as above

    def _close_peer(self, effect: Close) -> None:
        self._flush()
        session = self._sessions.pop(effect.peer, None)
        if session is not None:
            session.close()

    def _log(self, effect: Log) -> None:
        logger.log(logging.getLevelNamesMapping()[effect.level.upper()], "%s", effect.text)

    def _settle(self) -> None:
        """After a batch of events: flush once per tick, and ask for the next `Tick`."""
        if self._outgoing and not self._flush_wanted:
            self._flush_wanted = True
            self._loop.call_soon(self._flush)
        self._ask_for_tick()

    def _flush(self) -> None:
        self._flush_wanted = False
        outgoing, self._outgoing = self._outgoing, {}
        for peer, messages in outgoing.items():
            session = self._sessions.get(peer)
            if session is not None:
                session.send(messages)

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
    )

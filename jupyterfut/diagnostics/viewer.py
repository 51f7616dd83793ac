"""One viewer of one scheduler: it watches topics, asks questions, and says how the connection is. The Jupyter server has some for each cluster, the
dashboard some for each page.

A `Viewer` keeps itself connected. When the link breaks it connects again, with growing pauses, says anew what it watches, and goes on, so whoever
shows what it tells needs to know nothing of that. It is a client that is not counted, holds nothing, and so has nothing to lose. Everything it waits
for has a deadline: a scheduler that hangs is *silent* after a few seconds, and hangs nobody else.

What it tells (`on_snapshot`) are the dictionaries of `wire.panes`, to be read and not changed: inside the scheduler's process they are shared.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
import random
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from jupyterfut.comm import Security
from jupyterfut.diagnostics import lines
from jupyterfut.diagnostics.lines import Line
from jupyterfut.errors import ClosedError, ConfigError, ConnectionFailed, HandshakeError, JupyterfutError, TimeoutError  # noqa: A004
from jupyterfut.ids import Address, ClientId
from jupyterfut.runtime.data_server import DataLinks
from jupyterfut.runtime.insider import error_from
from jupyterfut.runtime.peer import Requests
from jupyterfut.wire.messages import ClientHello, Goodbye, Message, Notices, Reply, Request, Welcome
from jupyterfut.wire.panes import TOPIC_PREFIX

if TYPE_CHECKING:
    from jupyterfut.runtime.scheduler_server import Scheduler

logger = logging.getLogger("jupyterfut.diagnostics")

ViewerState: TypeAlias = Literal["connecting", "running", "silent", "lost", "incompatible", "closed"]
"""connecting: for the first time. running: all is well. silent: connected, but the scheduler does not answer. lost: no connection; it is tried again.
incompatible: another version or a wrong token, and nothing is tried any more. closed: by us."""

Topics: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Topic -> its options."""

OnSnapshot: TypeAlias = Callable[[str, dict[str, Any]], object]
OnState: TypeAlias = Callable[[ViewerState, str], object]

CONNECT_S = 10.0
"""A connection and its welcome may take so long."""
ANSWER_S = 15.0
"""So may a question."""
QUIET_S = 5.0
"""A scheduler that was not heard for so long is asked whether it is there; when it has not answered after as long again, it is silent."""
GIVE_UP_S = 30.0
"""A connection that is silent for so long is given up, and another one is tried: perhaps only the road between is gone."""
PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""Between two tries to connect."""
WORKERS_ASKED = 50
"""A question to workers goes to so many at most."""

OF_WORKERS = {"call_stack": "call_stack", "worker_logs": "logs"}
"""Questions that workers answer themselves -> what they call them."""


class Viewer:
    """A link to the scheduler at `scheduler` (an address, or a `Scheduler` of this very event loop). Made and used on one event loop.

    `on_snapshot(topic, snapshot)` hears what is watched; `on_state(state, text)` how the connection is, whenever that changes: `text` says what is
    wrong, for people, and is "" when nothing is. While it is running, a text is the scheduler's refusal of what is watched. It connects by itself
    from `start` on.

    >>> from jupyterfut.runtime.scheduler_server import Scheduler
    >>> async def example():
    ...     async with Scheduler(port=0) as scheduler:
    ...         viewer = Viewer(scheduler.address, scheduler.security)
    ...         viewer.start()
    ...         answer = await viewer.ask("nthreads", {})
    ...         await viewer.close()
    ...         return answer, viewer.state
    >>> asyncio.run(example())
    ({}, 'closed')
    """

    def __init__(
        self,
        scheduler: str | Scheduler,
        security: Security | None = None,
        *,
        on_snapshot: OnSnapshot = lambda topic, snapshot: None,
        on_state: OnState = lambda state, text: None,
    ) -> None:
        self.state: ViewerState = "connecting"
        self.text = ""  #: what is wrong
        self._scheduler = scheduler
        self._security = security if security is not None or isinstance(scheduler, str) else scheduler.security
        self._on_snapshot = on_snapshot
        self._on_state = on_state
        self._wish: dict[str, dict[str, Any]] = {}
        self._line: Line | None = None
        self._requests = Requests()
        self._welcomed = asyncio.Event()
        self._lost: asyncio.Future[str] | None = None  # of the line that there is: why it ends
        self._heard_at = 0.0
        self._telling: set[asyncio.Task[None]] = set()
        self._living: asyncio.Task[None] | None = None
        self._to_workers: DataLinks | None = None  # made with the first question to one

    def __repr__(self) -> str:
        where = self._scheduler if isinstance(self._scheduler, str) else self._scheduler.address
        return f"<Viewer of {where} {self.state}{': ' + self.text if self.text else ''}>"

    # --- life

    def start(self) -> None:
        """Begin to connect. Returns at once. A second call does nothing."""
        if self._living is None and self.state != "closed":
            self._living = asyncio.get_running_loop().create_task(self._live())

    async def close(self) -> None:
        """Say goodbye, and end. What was asked and not answered ends with ClosedError; nothing is told any more. Never takes longer than a second.
        A second call does nothing."""
        if self.state == "closed":
            return
        self.state = "closed"
        self._on_snapshot, self._on_state = _tell_nobody, _tell_nobody
        self._welcomed.set()  # whoever waits for it finds the viewer closed
        jobs = [task for task in (self._living, *self._telling) if task is not None]
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if self._to_workers is not None:
            await self._to_workers.close()

    async def _live(self) -> None:
        """Connect, listen until that ends, and begin again."""
        pause = PAUSE_S
        while True:
            try:
                await self._connect()
            except HandshakeError as error:  # another try would end in the same way
                self._become("incompatible", str(error))
                return
            except (JupyterfutError, OSError, ValueError) as error:
                reason = str(error)
            else:
                pause = PAUSE_S
                try:
                    reason = await self._listen()
                finally:
                    await self._hang_up()
            self._become("lost", reason)
            if not isinstance(self._scheduler, str) and self._scheduler.closed:
                return
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _connect(self) -> None:
        """Until the scheduler has said welcome."""
        loop = asyncio.get_running_loop()
        lost = self._lost = loop.create_future()
        self._welcomed.clear()

        def on_lost(reason: str) -> None:
            if not lost.done():
                lost.set_result(reason)

        try:
            async with asyncio.timeout(CONNECT_S):
                if isinstance(self._scheduler, str):
                    self._line = await lines.over_stream(self._scheduler, self._security, CONNECT_S, self._heard, on_lost)
                else:
                    self._line = lines.InsideLine(self._scheduler, self._heard, on_lost)
                self._line.send(ClientHello(ClientId(f"viewer-{secrets.token_hex(12)}"), "viewer", False, 0, {"viewer": True}))
                welcome = loop.create_task(self._welcomed.wait())
                try:
                    await asyncio.wait((welcome, lost), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    welcome.cancel()
        except builtins.TimeoutError as error:
            await self._hang_up()
            if isinstance(error, JupyterfutError):
                raise
            raise ConnectionFailed(f"the scheduler has not answered within {CONNECT_S:g} s") from error
        except BaseException:
            await self._hang_up()
            raise
        if lost.done():
            await self._hang_up()
            raise ConnectionFailed(lost.result())

    async def _listen(self) -> str:
        """Until the link is lost: see to it that the scheduler is there. Returns why it is over."""
        lost = self._lost
        assert lost is not None
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        self._become("running", "")
        if self._wish:
            self._say_wish()
        if not isinstance(self._scheduler, str):
            return await lost  # on this loop: when it hangs, so do we
        while True:
            await asyncio.wait((lost,), timeout=max(0.1, self._heard_at + QUIET_S - loop.time()))
            if lost.done():
                return lost.result()
            if loop.time() - self._heard_at < QUIET_S:
                continue
            if loop.time() - self._heard_at > GIVE_UP_S:
                return f"the scheduler has said nothing for {GIVE_UP_S:g} s"
            try:
                await self._question("locate", {"keys": []}, QUIET_S)
            except TimeoutError:
                self._become("silent", "the scheduler does not answer")
            except ConnectionFailed as error:
                return str(error)

    async def _hang_up(self) -> None:
        """This line is over."""
        line, self._line = self._line, None
        if self.state == "closed":
            self._requests.fail(ClosedError("the viewer was closed"))
        else:
            self._welcomed.clear()
            self._requests.fail(ConnectionFailed("the connection to the scheduler is lost"))
        if line is None:
            return
        line.send(Goodbye("the viewer was closed"))
        line.close()
        try:
            async with asyncio.timeout(1.0):
                await line.wait_closed()
        except builtins.TimeoutError:
            line.abort()

    def _become(self, state: ViewerState, text: str) -> None:
        if self.state != "closed" and (state, text) != (self.state, self.text):
            self.state, self.text = state, text
            self._on_state(state, text)

    # --- what is watched

    def watch(self, topics: Topics) -> None:
        """From now on hear of these topics, and of nothing else; each begins with a snapshot of what there is. Never blocks. Unknown topics and
        options are the scheduler's to refuse: `on_state` hears of it."""
        self._wish = {topic: dict(options) for topic, options in topics.items()}
        if self._welcomed.is_set():
            self._say_wish()

    def begin_again(self, *topics: str) -> None:
        """Hear of these topics as if they were watched only from now on: what is told as increments begins with what is kept. Never blocks."""
        again = [topic for topic in topics if topic in self._wish]
        if again and self._welcomed.is_set():
            self._say({topic: options for topic, options in self._wish.items() if topic not in again})
            self._say_wish()

    def _say_wish(self) -> None:
        self._say(self._wish)

    def _say(self, topics: dict[str, dict[str, Any]]) -> None:
        task = asyncio.get_running_loop().create_task(self._tell(topics, self._ask("watch", {"topics": topics})))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, topics: dict[str, dict[str, Any]], answer: asyncio.Future[Reply]) -> None:
        try:
            await self._answer("watch", answer, ANSWER_S)
        except TimeoutError:
            self._become("silent", "the scheduler does not answer")
        except (ConnectionFailed, ClosedError) as error:
            logger.debug("a wish was not answered: %s", error)  # it is said again when there is another line
        except JupyterfutError as error:
            if topics == self._wish:
                self._become("running", str(error))
        else:
            if topics == self._wish:
                self._become("running", "")

    # --- questions

    async def ask(self, op: str, args: dict[str, Any], timeout_s: float = ANSWER_S) -> Any:
        """The scheduler's answer to a question. Waits for the first connection if need be.

        Raises TimeoutError, ConnectionFailed (there is no connection, or it breaks), ClosedError, and what the scheduler answers with.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if not self._welcomed.is_set():
            if self.state in ("lost", "incompatible"):
                raise ConnectionFailed(self.text or "there is no connection to the scheduler")
            try:
                async with asyncio.timeout(timeout_s):
                    await self._welcomed.wait()
            except builtins.TimeoutError:
                raise TimeoutError(f"there is no connection to the scheduler after {timeout_s:g} s") from None
        return await self._question(op, args, max(0.0, deadline - loop.time()))

    async def ask_workers(self, op: str, args: dict[str, Any], timeout_s: float = ANSWER_S) -> dict[str, dict[str, Any]]:
        """What workers themselves answer ("call_stack", "worker_logs"): `{"answers": {address: answer}, "errors": {address: text}}`.

        `args["workers"]` names some by address, name or host; without it all are meant, if they are not too many. The other arguments are the
        question's own.

        Raises what `ask` raises, KeyError for another question, ConfigError when nobody or too many are meant. Workers that do not answer in time are
        among the errors.
        """
        inner = OF_WORKERS[op]
        rest = {name: value for name, value in args.items() if name != "workers"}
        here = await self.ask("nthreads", {"workers": args.get("workers")}, timeout_s)
        if not here:
            raise ConfigError("no such worker")
        if len(here) > WORKERS_ASKED:
            raise ConfigError(f"{len(here)} workers are too many to ask at once: name some, at most {WORKERS_ASKED}")
        if self._to_workers is None:
            self._to_workers = DataLinks(self._security, CONNECT_S)
        jobs = {address: asyncio.ensure_future(self._ask_worker(Address(address), inner, rest, timeout_s)) for address in here}
        outcomes = await asyncio.gather(*jobs.values(), return_exceptions=True)
        told: dict[str, dict[str, Any]] = {"answers": {}, "errors": {}}
        for address, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                told["errors"][address] = str(outcome) or type(outcome).__name__
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                told["answers"][address] = outcome
        return told

    async def _ask_worker(self, address: Address, op: str, args: dict[str, Any], timeout_s: float) -> Any:
        assert self._to_workers is not None
        try:
            async with asyncio.timeout(timeout_s):
                return await self._to_workers.ask(address, op, args)
        except builtins.TimeoutError:
            raise TimeoutError(f"no answer within {timeout_s:g} s") from None

    async def _question(self, op: str, args: dict[str, Any], timeout_s: float) -> Any:
        return await self._answer(op, self._ask(op, args), timeout_s)

    def _ask(self, op: str, args: dict[str, Any]) -> asyncio.Future[Reply]:
        if self.state == "closed":
            raise ClosedError("the viewer was closed")
        if self._line is None:
            raise ConnectionFailed(self.text or "there is no connection to the scheduler")
        number, answer = self._requests.new()
        self._line.send(Request(number, op, args))
        return answer

    async def _answer(self, op: str, answer: asyncio.Future[Reply], timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                reply = await answer
        except builtins.TimeoutError as error:
            if isinstance(error, JupyterfutError):
                raise
            raise TimeoutError(f"the scheduler has not answered {op!r} within {timeout_s:g} s") from None
        if reply.failure is not None:
            raise error_from(reply.failure)
        return reply.value

    # --- what comes

    def _heard(self, messages: list[Message]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if self.state == "silent":
            self._become("running", "")
        message: Any
        for message in messages:
            kind = type(message)
            if kind is Notices:
                for topic, value in zip(message.topics, message.values, strict=True):
                    if topic.startswith(TOPIC_PREFIX) and topic[len(TOPIC_PREFIX) :] in self._wish:
                        self._on_snapshot(topic[len(TOPIC_PREFIX) :], value)
            elif kind is Reply:
                self._requests.answer(message.id, message)
            elif kind is Welcome:
                self._welcomed.set()
            elif kind is Goodbye and self._lost is not None and not self._lost.done():
                self._lost.set_result(f"the scheduler has closed: {message.reason}")


def _tell_nobody(*told: Any) -> None:
    """The viewer is closed."""

"""The event loop's own thread. A client, and a whole in-process cluster, live in one such loop; the user's threads hand work over with `call_soon`
and wait with `run`.

`call_soon` costs one append while a hand-over is already under way: the loop is woken once per batch. It takes no lock, so it may be called
from a finalizer in any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from jupyterfut import errors
from jupyterfut.errors import ClosedError

T = TypeVar("T")


def new_event_loop(uvloop: bool | None = None) -> asyncio.AbstractEventLoop:
    """A new event loop, not yet running. `uvloop` None: uvloop's when it is installed (the extra `fast`)."""
    if uvloop or (uvloop is None and importlib.util.find_spec("uvloop") is not None):
        module = importlib.import_module("uvloop")
        loop: asyncio.AbstractEventLoop = module.new_event_loop()
        return loop
    return asyncio.new_event_loop()


class LoopThread:
    """An event loop that runs in a daemon thread of its own between `start` and `stop`.

    >>> host = LoopThread("example")
    >>> host.start()
    >>> async def double(x): return 2 * x
    >>> host.run(double(21))
    42
    >>> host.stop()
    """

    def __init__(self, name: str, *, uvloop: bool | None = None) -> None:
        self.name = name
        self.loop = new_event_loop(uvloop)
        self._queue: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._woken = False  # a `_drain` is on its way
        self._closed = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<LoopThread {self.name} {'running' if self.is_running else 'stopped'}>"

    @property
    def is_running(self) -> bool:
        """Whether work handed over now will be done."""
        return self._thread is not None and not self._closed

    @property
    def in_loop_thread(self) -> bool:
        """Whether the caller runs in the loop's thread, where blocking on the loop would never end."""
        return self._thread is not None and threading.get_ident() == self._thread.ident

    def start(self) -> None:
        """Start the thread; returns when the loop runs. A second call does nothing. Raises `ClosedError` after `stop`."""
        if self._closed:
            raise ClosedError(f"the event loop thread {self.name} was stopped")
        if self._thread is not None:
            return
        running = threading.Event()
        self.loop.call_soon(running.set)
        self._thread = threading.Thread(target=self._main, name=self.name, daemon=True)
        self._thread.start()
        running.wait()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self._closed = True
            try:
                self._drain()
                self._cancel_tasks()
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
                self.loop.run_until_complete(self.loop.shutdown_default_executor())
                self._cancel_tasks()  # what another thread handed over while we were closing
            finally:
                asyncio.set_event_loop(None)
                self.loop.close()

    def _cancel_tasks(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def call_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Run `function(*args)` in the loop soon; from any thread, in the order of the calls. Never blocks. After `stop` it does nothing."""
        self._queue.append((function, args))
        if not self._woken:
            self._woken = True
            self._wake()

    def _wake(self) -> None:
        try:
            if self.in_loop_thread:
                self.loop.call_soon(self._drain)
            else:
                self.loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            self._queue.clear()  # stopped meanwhile: there is nobody left to do it

    def _drain(self) -> None:
        # The flag falls first: who appends after our last look at the queue finds it down, and wakes us again.
        self._woken = False
        queue = self._queue
        for _ in range(len(queue)):
            function, args = queue.popleft()
            try:
                function(*args)
            except Exception as error:  # noqa: BLE001  # whatever it is, the rest of the queue must run
                self.loop.call_exception_handler({"message": f"error in {function!r}, called in {self.name}", "exception": error})

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run the coroutine in the loop, block until it ends, and return or raise what it does.

        Raises `TimeoutError` after `timeout_s` seconds and `ClosedError` once stopped. A timeout or KeyboardInterrupt cancels the coroutine and
        returns at once.
        """
        if not self.is_running:
            coroutine.close()
            raise ClosedError(f"the event loop thread {self.name} is not running")
        if self.in_loop_thread:
            coroutine.close()
            raise RuntimeError(f"a blocking call in the event loop's own thread ({self.name}) would never return: use await")
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise ClosedError(f"the event loop thread {self.name} was stopped") from None
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise errors.TimeoutError(f"no answer within {timeout_s} s") from None
        except concurrent.futures.CancelledError:
            if self._closed:
                raise ClosedError(f"the event loop thread {self.name} was stopped") from None
            raise
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel what runs in the loop, close it and join the thread. Called in the loop's thread it stops the loop after the present tick. A second
        call does nothing.
        """
        thread = self._thread
        if thread is None:
            if not self._closed:
                self._closed = True
                self.loop.close()
            return
        if not self._closed:
            self._closed = True
            self.loop.call_soon_threadsafe(self.loop.stop)
        if not self.in_loop_thread:
            thread.join()

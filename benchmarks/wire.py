"""What it costs to turn calls into bytes, bytes into messages, and to move them: `python -m benchmarks.wire [--quick] [--json FILE]`.

Codec, pickling and framing are measured alone, by this thread's processor time, the best of several rounds. Loopback is measured between two
processes, by the clock: round trips of one small message, bursts of small messages, and a stream of 64 MB buffers.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from jupyterfut import comm
from jupyterfut.serde import dumps, dumps_call, dumps_function, dumps_result, failure_from_exception, loads, loads_call
from jupyterfut.wire import messages as m
from jupyterfut.wire.codec import Encoder, decode
from jupyterfut.wire.framing import FrameReader, frame
from jupyterfut.wire.payload import Blob

Row = tuple[str, str, float, str, float | None]
"""(group, name, value, unit, target)"""

BIG_BYTES = 64 * 1024 * 1024
ROUNDS = 5


def best_us(call: Callable[[], object], budget_s: float) -> float:
    """Microseconds of processor time of one call, in the best of several rounds."""
    call()
    start = thread_time()
    call()
    once = max(1e-7, thread_time() - start)
    count = max(1, int(budget_s / ROUNDS / once))
    best = float("inf")
    for _ in range(ROUNDS):
        start = thread_time()
        for _ in range(count):
            call()
        best = min(best, (thread_time() - start) / count)
    return best * 1e6


def codec(budget_s: float) -> list[Row]:
    """Messages of the hot road, by rows."""
    rows: list[Row] = []
    encoder = Encoder()
    for count in (1, 50, 2000):
        keys = [f"inc-{i:032x}" for i in range(count)]
        args = [b"\x80\x05K" + i.to_bytes(8, "little") + b"\x85." for i in range(count)]
        ones = list(range(count))
        samples: dict[str, m.Message] = {
            "SubmitTasks": m.SubmitTasks("f" * 32, keys, args, [], [], m.TaskOptions()),
            "Compute": m.Compute("f" * 32, keys, ones, args, [[-0.0, i] for i in ones], [], {}, {}, None, False),
            "TasksDone": m.TasksDone(keys, ones, args, ["int"] * count, ones, [1e-6] * count, {}),
            "KeysReady": m.KeysReady(keys, args, ["int"] * count, ones),
        }
        for name, message in samples.items():
            body, buffers = encoder.encode([message])
            assert decode(body, buffers) == [message]
            encode_us, decode_us = best_us(partial(encoder.encode, [message]), budget_s), best_us(partial(decode, body, buffers), budget_s)
            rows.append((f"codec, {count} rows", f"encode {name}", encode_us / count, "us/row", None))
            rows.append((f"codec, {count} rows", f"decode {name}", decode_us / count, "us/row", None))
    return rows


def inc(x: int) -> int:
    """The function of most benchmarks."""
    return x + 1


def pickling(budget_s: float) -> list[Row]:
    """Values, calls, functions and failures."""
    import pickle

    def no_future(value: object) -> None:
        return None

    def measure(name: str, call: Callable[[], object], target: float | None = None) -> None:
        rows.append(("pickling", name, best_us(call, budget_s), "us", target))

    rows: list[Row] = []
    args: tuple[Any, ...] = (12345,)
    nothing: dict[str, Any] = {}
    call = dumps_call(args, nothing, no_future).payload
    cell: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("K = 1\ndef helper(x): return x + K\ndef f(x): return helper(x)", "<cell>", "exec"), cell)
    measure("pickle.dumps((i,)) alone, to compare", lambda: pickle.dumps(args, 5))
    measure("dumps_call of (i,)", lambda: dumps_call(args, nothing, no_future), 0.7)
    measure("loads_call of (i,)", lambda: loads_call(call, ()), 0.7)
    measure("dumps_call of (i, x=[1, 2, 3])", lambda: dumps_call(args, {"x": [1, 2, 3]}, no_future))
    measure("dumps_result of an int", lambda: dumps_result(5))
    measure("dumps_result of a small dict", lambda: dumps_result({"a": 1, "b": [1.5, 2.5]}))
    measure("dumps_function, importable, again", lambda: dumps_function(inc))
    measure("dumps_function, a notebook's, again", lambda: dumps_function(cell["f"]))
    measure("dumps_function, a notebook's, new", lambda: (cell.update(K=object.__hash__(object())), dumps_function(cell["f"])))
    try:
        inc("1")  # type: ignore[arg-type]  # meant to fail
    except TypeError as error:
        failed = error
    measure("failure_from_exception", lambda: failure_from_exception(failed, m.Key("k")))
    if importlib.util.find_spec("numpy") is not None:
        import numpy

        array = numpy.zeros(25_000_000)
        measure("dumps of a 200 MB array", lambda: dumps(array))
        payload = dumps(array)
        measure("loads of it", lambda: loads(payload))
    return rows


def framing(budget_s: float) -> list[Row]:
    """Frames to bytes and back, without a socket."""
    body = bytes(200)
    burst = b"".join(bytes(piece) for _ in range(200) for piece in frame(body))
    reader = FrameReader()
    big = memoryview(bytes(BIG_BYTES))

    def receive() -> None:
        fresh = FrameReader()
        for piece in pieces:
            fresh.feed(piece)

    pieces = frame(b"", [big])
    return [
        ("framing", "write a small frame", best_us(lambda: frame(body), budget_s), "us", None),
        ("framing", "read a small frame, 200 at once", best_us(lambda: reader.feed(burst), budget_s) / 200, "us", None),
        ("framing", "write a frame of 64 MB", best_us(lambda: frame(b"", [big]), budget_s), "us", None),
        ("framing", "read a frame of 64 MB (one copy)", BIG_BYTES / best_us(receive, budget_s) / 1e3, "GB/s", None),
    ]


async def serve() -> None:
    """The other process: says back what it is asked for, and how much it got."""
    over = asyncio.get_running_loop().create_future()

    def on_stream(stream: comm.Stream) -> None:
        def on_messages(messages: list[m.Message]) -> None:
            answers: list[m.Message] = [m.Reply(message.id, message.keys, None) for message in messages if type(message) is m.GetData]
            answers += [m.Reply(message.id, len(message.args["value"].buffers[0]), None) for message in messages if type(message) is m.Request]
            stream.send(answers)

        stream.start(on_messages, over.set_result)

    listener = await comm.listen("tcp://127.0.0.1:0", on_stream)
    print(listener.address, flush=True)
    await over
    listener.close()


async def talk(address: str, seconds: float) -> list[Row]:
    """This process: asks."""
    stream = await comm.connect(address)
    heard: asyncio.Queue[m.Message] = asyncio.Queue()
    stream.start(lambda messages: [heard.put_nowait(message) for message in messages], print)

    async def round_trip(message: m.Message) -> None:
        stream.send([message])
        await heard.get()

    times: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end:
        start = perf_counter()
        await round_trip(m.GetData(1, ["k"]))
        times.append(perf_counter() - start)
    times.sort()

    start, count = perf_counter(), 0
    while perf_counter() < start + seconds:
        for i in range(500):
            stream.send([m.GetData(i, ["k"])])
        for _ in range(500):
            await heard.get()
        count += 500
    burst_s = (perf_counter() - start) / count

    big = m.Request(1, "take", {"value": Blob(b"", [bytes(BIG_BYTES)])})
    await round_trip(big)
    start, moved = perf_counter(), 0
    while perf_counter() < start + seconds * 2:
        await round_trip(big)
        moved += BIG_BYTES
    speed = moved / (perf_counter() - start)
    stream.close()
    await stream.wait_closed()
    name = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    return [
        (f"loopback, {name}", "round trip, p50", times[len(times) // 2] * 1e6, "us", None),
        (f"loopback, {name}", "round trip, p99", times[len(times) * 99 // 100] * 1e6, "us", None),
        (f"loopback, {name}", "one-message frames in bursts", burst_s * 1e6, "us", None),
        (f"loopback, {name}", "64 MB buffers", speed / 1e9, "GB/s", None),
    ]


def runner(kind: str) -> Callable[[Any], Any]:
    """`asyncio.run`, or uvloop's."""
    if kind == "uvloop":
        import uvloop

        run: Callable[[Any], Any] = uvloop.run
        return run
    return asyncio.run


def loopback(seconds: float) -> list[Row]:
    """Two processes, on each kind of event loop that is here."""
    rows: list[Row] = []
    for kind in ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]:
        child = subprocess.Popen([sys.executable, "-m", "benchmarks.wire", "--serve", kind], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            rows += runner(kind)(talk(child.stdout.readline().strip(), seconds))
            child.wait(10)
        finally:
            child.kill()
            child.communicate()
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the time: for a look")
    parser.add_argument("--json", type=Path, help="write every number to this file")
    parser.add_argument("--serve", choices=["asyncio", "uvloop"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        runner(options.serve)(serve())
        return
    share = 0.2 if options.quick else 1.0
    rows = [*codec(0.12 * share), *pickling(0.25 * share), *framing(0.25 * share), *loopback(1.2 * share)]
    group = ""
    for where, name, value, unit, target in rows:
        if where != group:
            group = where
            print(f"\n{group}")
        verdict = "" if target is None else f"   target {target:g}: {'reached' if value <= target else 'missed'}"
        print(f"  {name:<38} {value:>12.3f} {unit}{verdict}")
    if options.json:
        facts = {"python": platform.python_version(), "machine": platform.platform(), "cores": os.cpu_count()}
        named = [dict(zip(("group", "name", "value", "unit", "target"), row, strict=True)) for row in rows]
        options.json.write_text(json.dumps({"facts": facts, "rows": named}, indent=1))


if __name__ == "__main__":
    main()

"""What the notebook layer costs, and how soon it shows what happens: `python -m benchmarks.notebook [--quick] [--only NAMES] [--json FILE]`.

A real JupyterLab in a real headless Chromium, as the browser tests have them (tests/browser/lab.py). What is timed in the kernel is timed by code in
cells; what is timed on the page is noted by a MutationObserver there, with the clock that kernel and workers use as well. What travels is counted
where the page receives it, as frames of its websockets.

    latency    from the end (or start) of a task to the change of its chip on the page, while the kernel's main thread sleeps
    list       a list of 10,000 futures: its size in the notebook file, the time to draw it, how often it moves
    slowdown   map + gather of 10,000 calls with the list shown, against the same without
    print      what reaches the page when one task prints 1 MB
    submit     a `%%submit` cell against one `submit` of the same work
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.system.machine import machine, versions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser.lab import Chromium, Notebook, Server, Window, missing

CLIENT = """
from jupyterfut import Client
client = Client(n_workers=2, threads_per_worker={threads})
warm = client.gather(client.map(abs, range(100), pure=False))
"""

# From markup to pixels: parsing, style, layout, and the frame in which it is painted, which may have to wait for its turn (1/60 s).
_DRAW = """async html => {
  const place = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output');
  const element = document.createElement('div');
  place.prepend(element);
  await new Promise(requestAnimationFrame);
  const start = performance.now();
  element.innerHTML = html;
  element.getBoundingClientRect();
  const laid_out = performance.now();
  await new Promise(resolve => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    port2.postMessage(0);
  }));
  const painted = performance.now();
  element.remove();
  return [laid_out - start, painted - start];
}"""


class Result(NamedTuple):
    """One line of the table."""

    benchmark: str
    what: str
    value: float
    unit: str
    target: float | None = None  #: at most so much

    @property
    def met(self) -> bool:
        return self.target is None or self.value <= self.target


class Bench:
    """What every benchmark is given: Lab, the frames that its page receives, and how much to do."""

    def __init__(self, server: Server, window: Window, quick: bool) -> None:
        self.server = server
        self.window = window
        self.quick = quick
        self.frames: list[bytes] = []
        window.page.on("websocket", lambda socket: socket.on("framereceived", self._received))

    def _received(self, frame: str | bytes) -> None:
        self.frames.append(frame.encode() if isinstance(frame, str) else frame)

    @contextmanager
    def notebook(self, *cells: str) -> Iterator[Notebook]:
        notebook = self.window.open(self.server.write("bench.ipynb", cells))
        try:
            yield notebook
        finally:
            self.window.close_notebook()
            self.server.shut_down_kernels()


def latency(bench: Bench) -> list[Result]:
    """Chains of two tasks, which begin and end while the kernel sleeps: the first's end starts the second, whose chip is on the page."""
    chains = 2 if bench.quick else 4
    rounds = 1 if bench.quick else 3
    define = f"""
import json, time, uuid
from jupyterfut import Event
def first(go, seconds):
    go.wait()
    time.sleep(seconds)
def second(before):
    began = time.time()
    time.sleep(0.8)
    return began, time.time()
def begin():
    global go, chips
    go = Event(uuid.uuid4().hex)
    chips = [client.submit(second, client.submit(first, go, 0.3 + 0.35 * j, pure=False), pure=False) for j in range({chains})]
"""
    sleeping = 3 + chains
    cells = [CLIENT.format(threads=chains), define, "begin()", *(f"chips[{j}]" for j in range(chains))]
    cells += ["go.set(); time.sleep(5)", "print(json.dumps(client.gather(chips)))"]
    finished, running = [], []
    with bench.notebook(*cells) as notebook:
        notebook.run(0, 1)
        for _ in range(rounds):
            notebook.run(2, *range(3, sleeping))
            for j in range(chains):
                notebook.watch(3 + j)
            notebook.run(sleeping, sleeping + 1)
            for j, (began, ended) in enumerate(json.loads(notebook.texts(sleeping + 1))):
                seen = notebook.seen(3 + j)
                running.append(next(when for when, text in seen if "running" in text) - began)
                finished.append(next(when for when, text in seen if "finished" in text) - ended)
    return [
        Result("latency", "task's start to chip, median", 1e3 * statistics.median(running), "ms"),
        Result("latency", f"task's start to chip, worst of {len(running)}", 1e3 * max(running), "ms", 300),
        Result("latency", "task's end to chip, median", 1e3 * statistics.median(finished), "ms"),
        Result("latency", f"task's end to chip, worst of {len(finished)}", 1e3 * max(finished), "ms", 300),
    ]


def long_list(bench: Bench) -> list[Result]:
    """10,000 futures that take a few seconds in all."""
    count = 2_000 if bench.quick else 10_000
    define = "import time\ndef step(i):\n    time.sleep(0.002)\n    return i"
    with bench.notebook(
        CLIENT.format(threads=2), define, f"fs = client.map(step, range({count})); fs", "from jupyterfut import wait; done = wait(fs)"
    ) as notebook:
        notebook.run(0, 1)
        bench.frames.clear()
        notebook.run(2)
        notebook.watch(2)
        notebook.run(3)
        notebook.wait_text(2, f"{count:,} of {count:,} done")
        seen = notebook.seen(2)
        messages = sum(b'"update_display_data"' in frame or b'"comm_msg"' in frame for frame in bench.frames)
        received = sum(map(len, bench.frames))
        cell = notebook.save().cells[2]
        draws = [notebook.page.evaluate(_DRAW, cell.outputs[0].data["text/html"]) for _ in range(5 if bench.quick else 21)]
    moving_s = max(seen[-1][0] - seen[0][0], 1e-9)
    return [
        Result("list", "outputs in the notebook file", len(cell.outputs), "", 1),
        Result("list", "size in the notebook file", len(json.dumps(cell.outputs)) / 1e3, "kB", 100),
        Result("list", "to parse, style and lay out, median", statistics.median(laid_out for laid_out, _ in draws), "ms"),
        Result("list", "to draw, until it is painted, median", statistics.median(painted for _, painted in draws), "ms", 50),
        Result("list", "changes of the page while it moved", (len(seen) - 1) / moving_s, "/s", 10),
        Result("list", "messages while it moved", messages / moving_s, "/s"),
        Result("list", "what the page received in all", received / 1e3, "kB"),
    ]


def slowdown(bench: Bench) -> list[Result]:
    """Alternating runs in one kernel, one cell for each."""
    rounds = 5 if bench.quick else 25
    define = """
import time
from IPython.display import display
times = {True: [], False: []}
def inc(i):
    return i + 1
start = 0
def once(shown):
    global start
    begun = time.perf_counter()
    futures = client.map(inc, range(start, start + 10_000))
    if shown:
        display(futures)
    client.gather(futures)
    times[shown].append(time.perf_counter() - begun)
    start += 10_000
for _ in range(3):
    once(False)
times[False].clear()
"""
    with bench.notebook(
        CLIENT.format(threads=1), define, "once(False)", "once(True)", "import json; print(json.dumps(list(times.items())))"
    ) as notebook:
        notebook.run(0, 1)
        for i in range(rounds):
            notebook.run(*((2, 3) if i % 2 else (3, 2)))
        notebook.run(4)
        times = dict(json.loads(notebook.texts(4)))
    plain, shown = statistics.median(times[False]), statistics.median(times[True])
    return [
        Result("slowdown", f"map + gather of 10,000, median of {rounds}", 1e3 * plain, "ms"),
        Result("slowdown", "the same with the list shown", 1e3 * shown, "ms"),
        Result("slowdown", "slower by", 100 * (shown / plain - 1), "%", 5),
    ]


def printing(bench: Bench) -> list[Result]:
    """A million characters, in lines as programs print them."""
    define = "def talk():\n    for i in range(12_500):\n        print(f'{i:08d} ' + 'x' * 70)\n    print('that is all')"
    with bench.notebook(CLIENT.format(threads=1), define, "talking = client.submit(talk)", "talking.result()") as notebook:
        notebook.run(0, 1)
        bench.frames.clear()
        notebook.run(2, 3)
        notebook.wait_text(2, "that is all")
        received = sum(map(len, bench.frames))
        kept = sum(len(output.get("text", "")) for output in notebook.save().cells[2].outputs)
    return [
        Result("print", "1 MB printed: what the page receives", received / 1e6, "MB", 1.5),
        Result("print", "of it under the cell in the notebook file", kept / 1e6, "MB"),
        Result("print", "messages", len(bench.frames), ""),
    ]


def submitting(bench: Bench) -> list[Result]:
    """The time that the kernel is kept: a cell, and a call that does the same."""
    count = 20 if bench.quick else 200
    define = f"""
import statistics, time
shell = get_ipython()
offset = 1
def same(a):
    return a + offset
def cell(options, i):
    begun = time.perf_counter()
    shell.run_cell_magic('submit', options, f'y = {{i}} + offset')
    return time.perf_counter() - begun
def call(i):
    global y
    begun = time.perf_counter()
    y = client.submit(same, i, pure=False)
    return time.perf_counter() - begun
def measure():
    cells, quiet, calls = [], [], []
    for i in range({count}):
        cells.append(cell('', i)); y.result()
        quiet.append(cell('-q', -i)); y.result()
        calls.append(call(i)); y.result()
    return [statistics.median(times) for times in (cells, quiet, calls)]
"""
    with bench.notebook(
        "%load_ext jupyterfut", CLIENT.format(threads=1), define, "found = measure()", "import json; print(json.dumps(found))"
    ) as notebook:
        notebook.run(0, 1, 2, 3, 4)
        shown, quiet, call = json.loads(notebook.texts(4))
    return [
        Result("submit", f"a call of submit, median of {count}", 1e3 * call, "ms"),
        Result("submit", "%%submit over it", 1e3 * (shown - call), "ms", 5),
        Result("submit", "%%submit -q over it", 1e3 * (quiet - call), "ms"),
    ]


BENCHMARKS: dict[str, Callable[[Bench], list[Result]]] = {
    "latency": latency,
    "list": long_list,
    "slowdown": slowdown,
    "print": printing,
    "submit": submitting,
}


def table(results: list[Result]) -> str:
    """The results as Markdown."""
    lines = ["| | | measured | target |", "|---|---|---|---|"]
    for result in results:
        target = "" if result.target is None else f"{result.target:g} {result.unit} at most: {'met' if result.met else '**missed**'}"
        lines.append(f"| {result.benchmark} | {result.what} | {result.value:,.4g} {result.unit} | {target} |".replace("  ", " "))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notebook", description="Measure what notebooks see of jupyterfut.")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help=f"comma separated, of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: for a look, not for a claim")
    parser.add_argument("--json", metavar="FILE", help="write everything measured")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a target is missed")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise SystemExit(f"unknown benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if lacking := missing():
        raise SystemExit(f"these benchmarks need {lacking}")
    facts: dict[str, Any] = machine()
    if float(facts.get("load_before", 0)) > 0.7:
        print(f"warning: the machine is busy with something else (load {facts['load_before']}): the numbers will be noisy")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as directory:
        server = Server(Path(directory) / "home")
        try:
            chromium = Chromium()
            try:
                bench = Bench(server, Window(server, chromium), options.quick)
                for name in names:
                    results += BENCHMARKS[name](bench)
            finally:
                chromium.stop()
        finally:
            server.stop()
    print(table(results))
    if options.json:
        found = [{**result._asdict(), "met": result.met} for result in results]
        Path(options.json).write_text(json.dumps({"machine": facts, "versions": versions([]), "results": found}, indent=1) + "\n")
    return 1 if options.strict and not all(result.met for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())

"""`jupyterfut demo`: an evolving workflow on real files, first one step after the other, then on a cluster that it starts for the purpose.

Every source file of Python's standard library is parsed, and each function that turns out to be in it is measured: nobody knows at the start how many
tasks that will be. What is printed was measured on the way. Both runs do the same work with the same functions (`demo_work`) on files that the system
has read before, and their results are compared. `explore` below is the workflow; it fits on one screen.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jupyterfut.cli import demo_work as work
from jupyterfut.cli.options import whole
from jupyterfut.cli.progress import Progress
from jupyterfut.errors import JupyterfutError
from jupyterfut.runtime.process import cpu_count

if TYPE_CHECKING:
    from jupyterfut.client.client import Client

FILES = 200
QUICK_FILES = 50
NOTEBOOK = "01-evolving-workflows.ipynb"

Report = Callable[[int, int, int, int], None]
"""Told of progress: files done, files in all, functions done, functions known so far."""


class Run(NamedTuple):
    """What one way through the work gave."""

    measures: list[work.Measure]
    seconds: float
    tasks: int
    busy: dict[int, float]  #: process id -> seconds that it spent on the work itself


def explore(client: Client, files: list[str], report: Report) -> Run:
    """The evolving workflow: as soon as a file says how many functions it contains, each becomes a task.

    The functions' sources stay on the workers; only counts and measures come here. Measuring has the higher priority, so that a file which has been
    opened is finished before another one is.
    """
    from jupyterfut import as_completed

    start = time.perf_counter()
    found = client.map(work.find_functions, files, pure=False)
    counts = client.map(work.count_functions, found, pure=False)
    found_of = dict(zip(counts, found, strict=True))

    measures: list[work.Measure] = []
    busy: dict[int, float] = defaultdict(float)
    opened = known = 0
    running = as_completed(counts, with_results=True)
    for future, result in running:
        if isinstance(result, work.Count):
            functions = found_of.pop(future)
            running.update(client.map(work.measure_one, [functions] * result.functions, range(result.functions), priority=1, pure=False))
            opened += 1
            known += result.functions
        else:
            measures.append(result)
        busy[result.pid] += result.seconds
        report(opened, len(files), len(measures), known)
    return Run(measures, time.perf_counter() - start, 2 * len(files) + len(measures), busy)


def one_after_the_other(files: list[str], report: Report) -> Run:
    """The same in a plain loop."""
    start = time.perf_counter()
    measures: list[work.Measure] = []
    known = 0
    for number, path in enumerate(files, 1):
        found = work.find_functions(path)
        known += len(found.functions)
        for function in found.functions:
            measures.append(work.measure(function))
            report(number, len(files), len(measures), known)
    return Run(measures, time.perf_counter() - start, 0, {})


def main(arguments: list[str]) -> int:
    """The command. Exit code 0, or 1 when the two runs differ or something needed is not there; Ctrl-C ends it with nothing left behind."""
    parser = argparse.ArgumentParser(
        prog="jupyterfut demo",
        description="Measure the functions of Python's standard library, first one after the other, then as an evolving workflow on a local cluster.",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_const", dest="files", const=QUICK_FILES, help=f"fewer files ({QUICK_FILES}): a few seconds")
    amount.add_argument("--files", type=whole(1), metavar="N", help=f"how many files ({FILES})")
    amount.add_argument("--all", action="store_const", dest="files", const=None, help="every file of the library: a minute or so")
    parser.set_defaults(files=FILES)
    parser.add_argument("--workers", type=whole(1), metavar="N", help="how many worker processes (default: one a core, at most 8)")
    parser.add_argument("--lab", action="store_true", help="open the notebook of the same subject in JupyterLab instead")
    parser.add_argument("lab_options", nargs="*", metavar="OPTION", help="with --lab, after '--': options for JupyterLab, such as --no-browser")
    options = parser.parse_args(arguments)
    if options.lab_options and not options.lab:
        parser.error("options after '--' are for JupyterLab; they need --lab")
    if options.lab:
        return open_lab(options.lab_options)
    files = work.library_files(options.files)
    workers = options.workers or min(8, cpu_count())
    return compare(files, workers, Progress(sys.stdout))


def compare(files: list[str], workers: int, progress: Progress) -> int:
    """Both runs, and what was gained."""
    from jupyterfut import Client

    progress.say(f"{len(files)} source files of Python's standard library, and every function in them")
    progress.say("")
    plain = one_after_the_other(files, progress.stage("one after the other"))
    progress.done(f"{len(plain.measures):,} functions in {plain.seconds:.1f} s")

    start = time.perf_counter()
    with Client(n_workers=workers, threads_per_worker=1) as client:
        started = time.perf_counter() - start
        grown = explore(client, files, progress.stage(f"on {workers} worker{'s' * (workers != 1)}"))
        progress.done(f"{len(grown.measures):,} functions in {grown.seconds:.1f} s")
    summarize(progress, plain, grown, started, workers, len(files))
    if sorted(measure[:-2] for measure in plain.measures) != sorted(measure[:-2] for measure in grown.measures):
        raise JupyterfutError("the two runs did not give the same measures: please report this")
    return 0


def summarize(progress: Progress, plain: Run, grown: Run, started: float, workers: int, files: int) -> None:
    """What was gained, who did it, and what was found."""
    gain = plain.seconds / grown.seconds
    progress.say("")
    progress.say(
        f"  gained   {gain:.2f} times as fast, {plain.seconds - grown.seconds:.1f} s saved (starting the cluster took {started:.1f} s, not counted)"
    )
    if gain < 1.2:
        progress.say(f"           little, because {'there is one worker' if workers == 1 else 'something else keeps the cores of this machine busy'}")
    progress.say(f"  tasks    {grown.tasks:,}: {2 * files:,} known at the start, {len(grown.measures):,} that the files turned out to need")
    progress.say(f"           {grown.tasks / grown.seconds:,.0f} a second, {1000 * sum(grown.busy.values()) / grown.tasks:.1f} ms of work each")
    total = sum(grown.busy.values())
    for number, (_, seconds) in enumerate(sorted(grown.busy.items())):
        label = "workers" if number == 0 else ""
        share = seconds / total
        progress.say(
            f"  {label:<7}  {number}: {progress.bar(share, 20)} {share:4.0%} of the work, busy {min(1.0, seconds / grown.seconds):.0%} of the time"
        )
    progress.say("")
    knotty = max(grown.measures, key=lambda measure: (measure.branches, measure.name))
    progress.say(f"  found    the most branches: {knotty.name}, {knotty.branches} in {knotty.lines} lines")
    for number, (one, other, lines) in enumerate(work.written_twice(grown.measures)[:3]):
        progress.say(f"           {'written twice:' if number == 0 else '              '} {one} and {other} ({lines} lines)")
    progress.say("")
    progress.say("Next: jupyterfut demo --lab opens the notebook; the workflow itself is jupyterfut/cli/demo.py, function explore.")


def open_lab(options: list[str]) -> int:
    """Open the first notebook in JupyterLab, and stay until it ends."""
    if importlib.util.find_spec("jupyterlab") is None or importlib.util.find_spec("ipykernel") is None:
        home = source_tree()
        what = "'jupyterfut[lab]'" if home is None else "'.[lab]'" if home == Path.cwd() else f"'{home}[lab]'"
        print(f"JupyterLab is not installed in this environment. To get it:\n\n    {sys.executable} -m pip install {what}\n", file=sys.stderr)
        return 1
    notebook = find_notebook()
    print(f"opening {notebook} (Ctrl-C here ends JupyterLab and what the notebook has started)", flush=True)
    command = [sys.executable, "-m", "jupyterlab", str(notebook), *options]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not any("root" in option for option in options):
        command.append("--allow-root")  # in a container everyone is root; the server listens on this machine only and asks for its token
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to JupyterLab as well, which asks, and ends


def find_notebook() -> Path:
    """The first notebook: of the source tree; or, of an installed package, a copy in the current directory, with the others, to be changed."""
    home = source_tree()
    if home is not None:
        return home / "notebooks" / NOTEBOOK
    packed = Path(work.__file__).parent.parent / "lessons" / NOTEBOOK
    if not packed.exists():
        raise JupyterfutError(f"the notebook {NOTEBOOK} did not come with this installation; it is in the project's repository, under notebooks/")
    for lesson in sorted(packed.parent.glob("*.ipynb")):
        copy = Path.cwd() / lesson.name
        if not copy.exists():
            shutil.copyfile(lesson, copy)
    return Path.cwd() / NOTEBOOK


def source_tree() -> Path | None:
    """The directory of the source tree that this package is used from, if it is."""
    home = Path(work.__file__).resolve().parent.parent.parent
    return home if (home / "notebooks" / NOTEBOOK).exists() and (home / "pyproject.toml").exists() else None

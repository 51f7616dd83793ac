"""Child processes: their pipes, and their end when the parent ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyterfut.runtime import child
from jupyterfut.runtime.process import ProcessWatch, describe_exit, memory_bytes, start_mark


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a module that a child can run: it sees PYTHONPATH."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def make(name: str, body: str) -> str:
        (tmp_path / f"{name}.py").write_text(f"from jupyterfut.runtime import child\nimport os, sys\ndef main():\n    parent = child.begin()\n{body}")
        return name

    return make


class Watched:
    """A child with its lines and its end, on the running loop."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        self.lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.exit: asyncio.Future[int] = loop.create_future()
        self.process = child.spawn(name, settings, title="jupyterfut test")
        assert self.process.stdout is not None
        self.reader = child.LineReader(child.take_fd(self.process.stdout), self.lines.put_nowait, lambda: None, loop)
        self.watch = ProcessWatch(self.process, self._ended, loop)

    def _ended(self, code: int) -> None:
        self.reader.finish()
        self.close_stdin()
        self.exit.set_result(code)

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


def test_settings_go_in_and_reports_come_back(module: Any) -> None:
    name = module("echo", "    parent.report(parent.settings['message'])\n    print('noise')\n    return 3\n")

    async def story() -> None:
        watched = Watched(name, {"message": {"answer": 42}})
        assert await watched.exit == 3
        assert watched.lines.get_nowait() == {"answer": 42}
        assert watched.lines.empty()  # what was printed went elsewhere

    asyncio.run(story())


def test_what_is_importable_here_is_importable_there(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module("finder", "    import beside_the_script\n    return beside_the_script.CODE\n")
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "beside_the_script.py").write_text("CODE = 9\n")
    monkeypatch.syspath_prepend(str(directory))

    async def story() -> None:
        assert await Watched(name, {}).exit == 9

    asyncio.run(story())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread does it, which needs the interpreter")
def test_a_child_that_holds_its_interpreter_dies_with_its_parent(module: Any) -> None:
    name = module("stuck", "    parent.die_with_it()\n    parent.report({'event': 'ready'})\n    import re\n    re.match('(a+)+$', 'a' * 80 + 'b')\n")

    async def story() -> None:
        watched = Watched(name, {})
        await watched.lines.get()
        watched.close_stdin()  # as the kernel does for a parent that was killed
        assert describe_exit(await watched.exit) == "killed by SIGKILL"

    asyncio.run(story())


def test_a_child_whose_parent_has_gone_before_it_looked_dies_too(module: Any) -> None:
    name = module("late", "    os.read(int(3), 1) if False else None\n    parent.die_with_it()\n    import time\n    time.sleep(60)\n")

    async def story() -> None:
        watched = Watched(name, {})
        watched.close_stdin()
        assert await watched.exit != 0

    asyncio.run(story())


def test_lines_after_the_settings_are_not_lost(module: Any) -> None:
    body = """
    import asyncio
    async def go():
        done = asyncio.Event()
        got = []
        reader = parent.lines(asyncio.get_running_loop(), got.append, done.set)
        await done.wait()
        parent.report({'got': got})
    asyncio.run(go())
    return 0
"""
    name = module("lines", body)

    async def story() -> None:
        watched = Watched(name, {})
        assert watched.process.stdin is not None
        watched.process.stdin.write(b'{"n": 1}\n{"n": 2}\n')
        watched.close_stdin()
        assert await watched.exit == 0
        assert watched.lines.get_nowait() == {"got": [{"n": 1}, {"n": 2}]}

    asyncio.run(story())


def test_a_parent_that_does_not_read_does_not_block_its_child(module: Any) -> None:
    body = """
    import asyncio
    async def go():
        done = asyncio.Event()
        reader = parent.lines(asyncio.get_running_loop(), lambda line: done.set(), done.set)
        for n in range(500):
            parent.report({'n': n, 'padding': 'x' * 1000})
        open(parent.settings['reached'], 'w').close()
        await done.wait()
        await asyncio.sleep(0)
        while parent._unsent:
            await asyncio.sleep(0)
    asyncio.run(go())
    return 0
"""
    name = module("talker", body)

    async def story(reached: Path) -> None:
        process = child.spawn(name, {"reached": str(reached)}, title="jupyterfut test")
        assert process.stdout is not None
        assert process.stdin is not None
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        seen = loop.create_future()
        ProcessWatch(process, ended.set_result, loop)
        process.stdin.write(b"{}\n")  # it answers this only if it is not stuck
        lines: list[dict[str, Any]] = []
        reader = child.LineReader(child.take_fd(process.stdout), lines.append, lambda: seen.set_result(None), loop)
        await seen
        assert await ended == 0
        assert [line["n"] for line in lines] == list(range(500))
        assert reached.exists()
        process.stdin.close()
        reader.close()

    asyncio.run(story(Path(os.environ["JUPYTER_RUNTIME_DIR"]) / "reached"))


def test_a_child_started_by_hand_says_what_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jupyterfut.runtime.worker_main"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "started by jupyterfut itself" in done.stderr


def test_facts_about_processes() -> None:
    assert start_mark(os.getpid()) == start_mark(os.getpid())
    used = memory_bytes(os.getpid())
    assert used is None or used > 10**6

"""Shared memory: what another process can find, what it refuses, and what is left when nobody needs it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterfut.comm import shared
from jupyterfut.comm.shared import Probe, attach, live_bytes, read_probe, reference, shared_copy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory is used on Linux only")

ME = os.getpid()


@pytest.fixture(params=["memfd", "nameless file"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "nameless file":
        monkeypatch.setattr(shared, "HAS_MEMFD", False)  # conda's Python
    return str(request.param)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = live_bytes(), len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert (live_bytes(), len(os.listdir("/proc/self/fd"))) == before


def place_of(buffer: memoryview) -> tuple[int, int, int]:
    place = reference(buffer)
    assert place is not None
    return place


def test_what_one_shares_another_maps_and_may_change_for_itself(kind: str) -> None:
    original = os.urandom(100_000)
    buffer = shared_copy(original)
    other = attach(ME, *place_of(buffer))
    assert buffer == other == original
    other[:3] = b"new"
    buffer[-3:] = b"own"
    assert bytes(attach(ME, *place_of(buffer))) == original
    assert buffer[:3] == original[:3]


def test_another_process_reads_it(kind: str) -> None:
    buffer = shared_copy(b"hello" * 1000)
    code = f"from jupyterfut.comm.shared import attach; print(bytes(attach({ME}, *{place_of(buffer)})[:5]))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "b'hello'\n"


def test_it_lives_as_long_as_somebody_has_it(kind: str) -> None:
    buffer = shared_copy(b"x" * 5000)
    place = place_of(buffer)
    other = attach(ME, *place)
    assert live_bytes() == 5000  # mapped twice, there once
    del buffer
    assert other == b"x" * 5000
    with pytest.raises(FileNotFoundError):
        attach(ME, *place)
    del other
    assert live_bytes() == 0


def test_a_number_that_stands_for_something_else_now_is_refused(tmp_path: Path) -> None:
    buffer = shared_copy(b"x" * 5000)
    fd, inode, size = place_of(buffer)
    for wrong in ((fd, inode + 1, size), (fd, inode, size + 1), (fd, inode, 10), (0, inode, size), (10**9, inode, size), (fd, inode, 0)):
        with pytest.raises(OSError):
            attach(ME, *wrong)
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 5000)
    with open(secret, "rb") as file, pytest.raises(FileNotFoundError):  # a file of ours with a name: not for us to send around
        attach(ME, file.fileno(), os.fstat(file.fileno()).st_ino, 5000)


def test_nobody_can_change_or_shorten_it() -> None:
    buffer = shared_copy(b"x" * 5000)
    fd = place_of(buffer)[0]
    for change in (lambda: os.pwrite(fd, b"y", 0), lambda: os.ftruncate(fd, 10)):
        with pytest.raises(PermissionError):
            change()


def test_only_whole_buffers_are_references() -> None:
    buffer = shared_copy(b"x" * 5000)
    assert reference(buffer[:4000]) is None
    assert reference(b"x" * 5000) is None
    assert reference(memoryview(bytearray(5000))) is None


def test_with_too_many_files_open_nothing_is_shared_and_what_comes_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = shared_copy(b"x" * 5000)
    monkeypatch.setattr(shared, "_is_crowded", lambda fd: True)
    with pytest.raises(OSError, match="too many files"):
        shared_copy(b"y" * 5000)
    other = attach(ME, *place_of(buffer))
    assert reference(other) is None
    assert other == b"x" * 5000


def test_who_reads_the_probe_can_say_what_is_in_it(kind: str) -> None:
    probe, another = Probe(), Probe()
    assert read_probe(probe.place) == probe.proof != another.proof
    code = f"from jupyterfut.comm.shared import read_probe; print(read_probe({probe.place}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == probe.proof
    probe.close()
    probe.close()
    assert read_probe(probe.place) == ""
    another.close()


@pytest.mark.parametrize(
    "place", [None, "x", [], [1, 2], [1, 2, 3, 4], ["/etc", "../passwd", 1], [ME, -1, 5], [True, 1, 1], [2**70, 2**70, 2**70], [ME, 1.0, 1]]
)
def test_a_place_that_makes_no_sense_is_nowhere(place: object) -> None:
    assert read_probe(place) == ""

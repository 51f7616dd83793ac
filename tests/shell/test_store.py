"""The worker's store: values in memory and on disk, and disks that do not do their part."""

from __future__ import annotations

import logging
import os
import socket
import threading

import pytest

from jupyterfut.runtime import store as store_module
from jupyterfut.runtime.store import Store, ValueLost
from jupyterfut.wire.payload import Blob, Local, payload_nbytes


def put(store, **values):
    store.put(list(values), list(values.values()), [payload_nbytes(value) for value in values.values()])


def wait_for(store, condition):
    """Until the spilling thread has nothing left to do."""
    store._wanted.put(False)
    store._spiller.join()
    store._spiller = None
    store._spilling = False
    assert condition()


def big(letter, size=100_000):
    return letter * size


@pytest.fixture
def store(tmp_path):
    made = Store(250_000, str(tmp_path))
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_without_a_limit_everything_stays_in_memory():
    store = Store()
    put(store, a=big(b"a"), b=b"b")
    assert store.get("a") == big(b"a")
    assert "b" in store
    assert len(store) == 2
    assert not store.on_disk("a")
    store.drop(["a"])
    with pytest.raises(ValueLost, match="a: the value is not here"):
        store.get("a")
    store.close()


def test_the_least_recently_used_goes_to_disk_and_comes_back_whole(store):
    put(store, a=big(b"a"), b=Blob(b"head", [bytearray(big(b"b")), big(b"")]))
    store.get("a")
    put(store, c=big(b"c"))
    wait_for(store, lambda: store.on_disk("b") and not store.on_disk("a") and not store.on_disk("c"))
    assert store.memory_bytes == 200_000
    assert store.disk_bytes > 100_000
    value = store.get("b")
    assert value.head == b"head"
    assert [bytes(b) for b in value.buffers] == [big(b"b"), b""]
    assert store.get("a") == big(b"a")


def test_a_value_read_back_stays_in_memory_when_there_is_room(store, tmp_path):
    put(store, a=big(b"a"), b=big(b"b"), c=big(b"c"))
    wait_for(store, lambda: store.on_disk("a"))
    store.drop(["b"])
    assert store.get("a") == big(b"a")
    assert not store.on_disk("a")
    assert store.disk_bytes == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_dropped_values_leave_no_file(store, tmp_path):
    put(store, a=big(b"a"), b=big(b"b"), c=big(b"c"))
    wait_for(store, lambda: store.on_disk("a"))
    store.drop(["a", "b", "c"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert (store.memory_bytes, store.disk_bytes) == (0, 0)


def test_a_full_disk_is_said_once_and_the_values_stay(store, caplog, monkeypatch):
    def full(path, payload):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module, "write_file", full)
    with caplog.at_level(logging.WARNING):
        put(store, a=big(b"a"), b=big(b"b"), c=big(b"c"))
        wait_for(store, lambda: not store.on_disk("a"))
        put(store, d=big(b"d"))
    assert store.memory_bytes == 400_000
    assert [store.get(key)[:1] for key in "abcd"] == [b"a", b"b", b"c", b"d"]
    assert len([record for record in caplog.records if "No space left" in record.getMessage()]) == 1


def test_what_a_killed_process_left_is_removed(tmp_path):
    mark = f"jupyterfut-spill-{socket.gethostname()}-"
    (tmp_path / f"{mark}999999999-x").mkdir()
    (tmp_path / f"{mark}{os.getppid()}-x").mkdir()
    store = Store(10_000, str(tmp_path / "new" / ".."))
    put(store, a=big(b"a"))
    wait_for(store, lambda: store.on_disk("a"))
    left = sorted(path.name.removeprefix(mark).partition("-")[0] for path in tmp_path.iterdir() if path.name.startswith(mark))
    assert left == sorted([str(os.getpid()), str(os.getppid())])
    store.close()


def test_no_place_for_files_is_said_and_the_values_stay(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    store = Store(10_000, str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        put(store, a=big(b"a"))
        wait_for(store, lambda: not store.on_disk("a"))
    assert store.get("a") == big(b"a")
    assert "cannot write results to disk" in caplog.text
    store.close()


def test_a_file_that_vanished_or_was_cut_is_a_lost_value(store, tmp_path):
    put(store, a=big(b"a"), b=big(b"b"), c=big(b"c"), d=big(b"d"))
    wait_for(store, lambda: store.on_disk("a") and store.on_disk("b"))
    first, second = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    first.unlink()
    second.write_bytes(second.read_bytes()[:50_000])
    with pytest.raises(ValueLost, match="a: cannot be read back"):
        store.get("a")
    with pytest.raises(ValueLost, match="b: cannot be read back from disk: the file ends too early"):
        store.get("b")


def test_an_object_that_cannot_be_pickled_stays(tmp_path):
    store = Store(10_000, str(tmp_path))
    lock = threading.Lock()
    store.put(["lock", "list"], [Local(lock, 50_000), Local([1, 2], 50_000)], [50_000, 50_000])
    wait_for(store, lambda: store.on_disk("list"))
    assert store.get("lock").value is lock
    store.close()


def test_relief_writes_what_the_process_takes_too_much(store):
    put(store, a=big(b"a"), b=big(b"b"))
    store.relieve(50_000)
    wait_for(store, lambda: store.on_disk("a") and not store.on_disk("b"))
    store.relieve(0)
    assert store.get("a") != b""
    assert not store.on_disk("a")


def test_threads_read_while_values_move(store):
    """Readers never see anything but the right value, wherever it is at the moment."""
    keys = [f"k{i}" for i in range(20)]
    values = {key: big(key[:3].ljust(3).encode(), 20_000) for key in keys}
    put(store, **values)
    wrong = []

    def read():
        for _ in range(10):
            wrong.extend(key for key in keys if store.get(key) != values[key])

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

"""Snapshots as one line of text: what `repr` says and what a terminal shows.

With `static=True` (the setting `JUPYTERFUT_DISPLAY=static`) a line is the same in every run: of a key only the name is left, addresses, sizes and
times go. Documents that are checked by running them again (nbval, doctest) are made that way.
"""

from __future__ import annotations

from jupyterfut.views.snapshots import CellView, ClientView, ClusterView, FutureView, WorkerView

_HEX = frozenset("0123456789abcdef")


def future(view: FutureView, *, static: bool = False) -> str:
    """The repr of a future.

    >>> future(FutureView(key="inc-b8aaf26b99466a7a1980efa1ade6701d", status="finished", type="int"))
    '<Future: status: finished, type: int, key: inc-b8aaf26b99466a7a1980efa1ade6701d>'
    >>> future(FutureView(key="inc-b8aaf26b99466a7a1980efa1ade6701d", status="finished", type="int"), static=True)
    '<Future: status: finished, type: int, key: inc>'
    >>> future(FutureView(key="train", status="pending", reason="no worker has resources GPU=1"))
    '<Future: status: pending, key: train, reason: no worker has resources GPU=1>'
    """
    parts = [f"status: {view.status}"]
    if view.type:
        parts.append(f"type: {view.type}")
    parts.append(f"key: {key_name(view.key) if static else view.key}")
    if view.reason and view.status == "pending":
        parts.append(f"reason: {view.reason}")
    return f"<Future: {', '.join(parts)}>"


def client(view: ClientView, *, static: bool = False) -> str:
    """The repr of a client.

    >>> workers = (WorkerView("0", "tcp://127.0.0.1:4001", 2, 4 * 2**30), WorkerView("1", "tcp://127.0.0.1:4002", 2, 4 * 2**30))
    >>> client(ClientView("tcp://127.0.0.1:4000", cluster=ClusterView("tcp://127.0.0.1:4000", workers)))
    "<Client: 'tcp://127.0.0.1:4000' workers=2 threads=4, memory=8.0 GiB>"
    >>> client(ClientView("tcp://127.0.0.1:4000", status="closed"))
    "<Client: 'tcp://127.0.0.1:4000' closed>"
    """
    return _line("Client", _address(view.address, static), _extent(view.cluster, static) if view.status == "running" else view.status)


def cluster(view: ClusterView, *, static: bool = False) -> str:
    """The repr of a cluster.

    >>> cluster(ClusterView("tcp://127.0.0.1:4000", (WorkerView("0", "tcp://127.0.0.1:4001", 2, 2**30),), kind="LocalCluster", name="mill"))
    "<LocalCluster: mill 'tcp://127.0.0.1:4000' workers=1 threads=2, memory=1.0 GiB>"
    """
    name = "" if static else view.name
    return _line(view.kind, name, _address(view.address, static), _extent(view, static) if view.status == "running" else view.status)


def worker(view: WorkerView, *, static: bool = False) -> str:
    """One line about a worker.

    >>> worker(WorkerView("0", "tcp://127.0.0.1:4001", 2, 2**30, executing=2, ready=7))
    "<Worker: 0 'tcp://127.0.0.1:4001' threads=2, memory=1.0 GiB, executing=2, ready=7>"
    """
    parts = [f"threads={view.nthreads}"]
    if view.memory_limit_bytes and not static:
        parts.append(f"memory={format_bytes(view.memory_limit_bytes)}")
    parts += [f"{name}={amount:g}" for name, amount in view.resources.items()]
    if not static:
        parts += [f"{name}={n}" for name, n in (("executing", view.executing), ("ready", view.ready)) if n is not None]
    if view.status != "running":
        parts.append(view.status)
    return _line("Worker", view.name, _address(view.address, static), ", ".join(parts))


def cell(view: CellView, *, static: bool = False) -> str:
    """What stands under a submitted cell that shows no value of its own.

    >>> print(cell(CellView("cell-3", "pending", ("a", "b"))))
    cell-3: pending, futures: a, b
    >>> print(cell(CellView("cell-3", "finished", (), printed="two lines\\nof text\\n")))
    two lines
    of text
    cell-3: finished
    """
    names = f"futures: {', '.join(view.names)}" if view.names else ""
    if static and view.status in ("pending", "finished"):
        line = names  # which of the two it is depends on when one looks
    else:
        why = f"reason: {view.reason}" if view.reason and view.status == "pending" else ""
        line = f"{cell_name(view.name, static)}: " + ", ".join(part for part in (view.status, names, why) if part)
    error = view.traceback or view.reason if view.status != "pending" else ""
    return "\n".join(part.rstrip("\n") for part in (view.printed, error, line) if part)


def cell_name(name: str, static: bool) -> str:
    """What the cell is called. The number in `cell-3` depends on how often something was run before.

    >>> cell_name("cell-3", static=False), cell_name("cell-3", static=True), cell_name("clean up", static=True)
    ('cell-3', 'cell', 'clean up')
    """
    return "cell" if static and name.startswith("cell-") and name[5:].isdecimal() else name


def key_name(key: str) -> str:
    """What a reader calls the task: the key without its hash or counter.

    >>> key_name("inc-b8aaf26b99466a7a1980efa1ade6701d"), key_name("load-file-3f2a91bc"), key_name("my-key")
    ('inc', 'load-file', 'my-key')
    """
    name, dash, rest = key.rpartition("-")
    return name if dash and name and _is_token(rest) else key


def short_key(key: str, token_chars: int = 8) -> str:
    """The key with only the first characters of its hash.

    >>> short_key("inc-b8aaf26b99466a7a1980efa1ade6701d"), short_key("my-key")
    ('inc-b8aaf26b…', 'my-key')
    """
    name, dash, rest = key.rpartition("-")
    if dash and len(rest) > token_chars + 1 and _is_token(rest):
        return f"{name}-{rest[:token_chars]}…"
    return key


def format_bytes(n: float) -> str:
    """A size for people.

    >>> [format_bytes(n) for n in (0, 999, 2048, 8_388_608, 16 * 2**30)]
    ['0 B', '999 B', '2.0 KiB', '8.0 MiB', '16.0 GiB']
    """
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= factor:
            return f"{n / factor:.1f} {unit}"
    return f"{int(n)} B"


def format_seconds(seconds: float) -> str:
    """A duration for people.

    >>> [format_seconds(s) for s in (0.0000042, 0.0123, 0.25, 1.5, 42, 125, 7322)]
    ['4 µs', '12.3 ms', '250 ms', '1.50 s', '42.0 s', '2:05 min', '2:02:02 h']
    """
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.{0 if seconds >= 0.1 else 1}f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def count(n: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "worker"), count(12, "thread"), count(10_000, "future")
    ('1 worker', '12 threads', '10,000 futures')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _is_token(text: str) -> bool:
    """Whether the last part of a key is a hash or a counter, not a word."""
    return (len(text) >= 8 and set(text) <= _HEX) or text.isdecimal()


def _line(kind: str, *parts: str) -> str:
    said = " ".join(part for part in parts if part)
    return f"<{kind}: {said}>" if said else f"<{kind}>"


def _address(address: str, static: bool) -> str:
    return "" if static or not address else f"'{address}'"


def _extent(view: ClusterView | None, static: bool) -> str:
    if view is None:
        return ""
    text = f"workers={len(view.workers)} threads={view.threads}"
    if view.memory_limit_bytes and not static:
        text += f", memory={format_bytes(view.memory_limit_bytes)}"
    return text

"""What viewers of a cluster are told: the snapshots behind the dashboard's panes, the sidebar and the cluster list.

A viewer watches topics (`watch`); the scheduler tells it of each at a bounded rate, as notices on `pane:<topic>` with one of these dictionaries. They
are plain data: MessagePack between scheduler and viewer, JSON from there to the page. The TypeScript types of the front end are generated from this
module (`labextension/snapshots.py`), so there is one description, and a check that both agree.

Conventions: times are seconds since 1970 by the scheduler's clock (`at`: when the snapshot was taken), durations end in `_s`, sizes are bytes, shares
are of 1. Lists that stand side by side in one dictionary (columns) have equal lengths. A dictionary with `reset` carries what is new since the last
one; with `reset` true it begins anew, and what was told before is to be dropped. Everything is bounded, however large the cluster is.
"""

from __future__ import annotations

from typing import Final, TypedDict

TOPIC_PREFIX: Final = "pane:"


class TaskCounts(TypedDict):
    """How many tasks are in which state."""

    waiting: int
    queued: int
    processing: int
    memory: int
    erred: int
    released: int


class AdaptiveState(TypedDict):
    """A cluster that sizes itself."""

    minimum: int
    maximum: int | None


class Summary(TypedDict):
    """Topic "summary": a cluster in one line. At most two a second, and only when something has changed."""

    at: float
    workers: int
    threads: int
    cpu: float  #: sum over workers, 1 is one core
    memory: int
    memory_limit: int  #: 0: none
    spilled: int
    tasks: TaskCounts
    done: int  #: tasks finished since the scheduler began
    rate: float  #: tasks finished a second, lately
    clients: int  #: viewers are not counted
    kernels: list[str]  #: ids of the Jupyter kernels whose clients are here
    sessions: list[str]  #: the notebooks of these kernels (paths), in the same order; "" where nobody tells
    adaptive: AdaptiveState | None
    can_scale: bool  #: whether `cluster_scale` and `cluster_adapt` are answered


class Group(TypedDict):
    """Calls of one function from one origin."""

    id: int
    name: str  #: the function's; "data" for what was scattered
    origin: str
    tasks: TaskCounts
    done: int  #: finished since the group began, whether or not they are still held
    started_at: float
    ended_at: float | None  #: when the last one finished; None while some are unfinished


class Progress(TypedDict):
    """Topic "progress": the groups that are at work, then those that ended lately. Beyond 200 the rest is one row, `others`."""

    at: float
    groups: list[Group]
    others: Group | None
    total: TaskCounts
    done: int


class Timings(TypedDict):
    """Topic "timings": how long calls take, by function, in columns; the most expensive first, at most 200."""

    at: float
    name: list[str]
    count: list[int]
    erred: list[int]
    total_s: list[float]
    mean_s: list[float]
    min_s: list[float]
    max_s: list[float]
    nbytes: list[int]  #: sum of the sizes of results
    bounds_s: list[float]  #: upper bounds of the histograms' buckets, each ten to the quarter of the one before; the last bucket has none
    histogram: list[list[int]]  #: one list a row, counted since somebody looks


class Workers(TypedDict):
    """Topic "workers": all of them, in columns, in the order in which they came. At most ten a second, fewer of many."""

    at: float
    address: list[str]
    name: list[str]
    host: list[str]
    pid: list[int]
    threads: list[int]
    state: list[str]  #: running, paused, retiring, restarting, silent
    cpu: list[float]  #: 1 is one core
    memory: list[int]  #: of the process
    managed: list[int]  #: results held in memory; what is left of `memory` is unmanaged
    spilled: list[int]  #: results on disk
    memory_limit: list[int]  #: 0: none
    executing: list[int]
    processing: list[int]  #: assigned, those that execute included
    held: list[int]  #: results it has
    occupancy_s: list[float]  #: expected time of what is assigned
    received: list[float]  #: bytes a second, from other workers and clients
    sent: list[float]
    seen_s: list[float]  #: since it was heard of last


class Load(TypedDict):
    """Topic "load": what the scheduler itself does, in samples. The first one brings the last minutes if somebody has looked before."""

    reset: bool
    at: list[float]
    cpu: list[float]  #: of its process, 1 is one core
    lag_s: list[float]  #: how late its event loop was
    memory: list[int]
    received: list[float]  #: messages a second
    sent: list[float]
    submitted: list[float]  #: tasks a second
    done: list[float]
    waiting: list[int]
    queued: list[int]
    processing: list[int]
    workers: list[int]
    idle: list[int]  #: workers with a free thread
    worker_cpu: list[float]
    worker_memory: list[int]


class GraphNode(TypedDict):
    """One task, or one group of tasks."""

    id: str  #: the task's key, or the group's number
    label: str
    count: int  #: tasks in it
    state: str  #: of a task; of a group that of most
    done: int  #: how many of `count` are finished
    erred: int


class Graph(TypedDict):
    """Topic "graph": the tasks that are held and what they are made of. Up to 400 tasks each is a node; of more, each group is."""

    at: float
    grouped: bool
    nodes: list[GraphNode]
    edges: list[tuple[int, int]]  #: places in `nodes`: from an input to what needs it
    tasks: int  #: that are known
    looked_at: int  #: of these, the newest so many stand here


class FlameNode(TypedDict):
    """One frame of a flame graph."""

    name: str
    file: str
    line: int
    count: int  #: samples in it and below
    children: list[FlameNode]


class Profile(TypedDict):
    """Topic "profile": where the workers' threads have been since somebody looks, or, with an option `name`, those in calls of this function."""

    at: float
    since: float
    interval_s: float  #: what one sample stands for: `count * interval_s` are a thread's seconds
    samples: int
    functions: list[str]  #: of which there are samples
    root: FlameNode


class Lane(TypedDict):
    """One row of the task stream."""

    worker: str  #: its name
    address: str
    thread: int  #: counted from 0 on each worker; negative: transfers and disk, which are no thread's, in as many lanes as overlap (up to four)


class TaskStream(TypedDict):
    """Topic "task-stream": what ran where and when. Times are seconds after `base`. Many short calls that follow each other in one lane are one row
    (`count` > 1). `lanes` and `names` only ever grow (until a reset): each message brings the new ones, and rows name them by place.

    A call has a row when it has ended. What has been running for long stands in the `open` columns: each message brings all of it anew."""

    reset: bool
    base: float
    now: float  #: seconds after `base`
    lanes: list[Lane]
    names: list[str]
    lane: list[int]
    name: list[int]  #: the function's, as in `Group.name`; of a transfer and of the disk's work what it is: "transfer", "read", "write"
    kind: list[int]  #: 0 compute, 1 transfer, 2 disk
    start: list[float]
    stop: list[float]
    busy_s: list[float]  #: of `stop - start`, how long something ran
    count: list[int]
    erred: list[int]
    nbytes: list[int]  #: of results, or of what was moved
    key: list[str]  #: of a row of one task; "" when there is too much to tell
    open_lane: list[int]
    open_name: list[int]
    open_start: list[float]
    open_key: list[str]
    dropped: int  #: rows that were too many to tell, since the last message


class EventRow(TypedDict):
    """One thing that was worth a line."""

    at: float
    kind: str  #: worker, client, task, log, event
    level: str  #: debug, info, warning, error
    source: str  #: a worker's name, a logger, a topic
    text: str
    key: str  #: the task that it is about, or ""


class Events(TypedDict):
    """Topic "events": workers that come and go, tasks that fail, log lines of scheduler and workers, `log_event`. At most 1,000 rows a message."""

    reset: bool
    rows: list[EventRow]
    dropped: int


class CellRow(TypedDict):
    """One execution of a notebook cell that has submitted tasks."""

    origin: str
    kernel: str  #: the kernel's id; "" outside of a notebook
    session: str  #: the notebook's path, or ""
    cell_id: str  #: the cell in the document, or ""
    number: int  #: `In [number]`; 0: none
    title: str  #: its first line of code, or the client's name
    submitted: bool  #: a `%%submit` cell
    tasks: TaskCounts
    done: int
    started_at: float
    ended_at: float | None  #: when its last task finished; None while some are unfinished
    running_s: float  #: sum of the time of its tasks so far


class Cells(TypedDict):
    """Topic "cells": the cells that are at work, then those that ended lately, at most 200."""

    at: float
    rows: list[CellRow]


SNAPSHOTS: Final[dict[str, type]] = {
    "summary": Summary,
    "progress": Progress,
    "timings": Timings,
    "workers": Workers,
    "load": Load,
    "graph": Graph,
    "profile": Profile,
    "task-stream": TaskStream,
    "events": Events,
    "cells": Cells,
}
"""The topics, and what is told on each."""


# --- between a page and the server that shows it


class ClusterInfo(TypedDict):
    """One cluster in the list."""

    id: str  #: names it in addresses and messages; the same as long as the cluster lives
    name: str
    address: str
    host: str
    pid: int
    started: float
    kernel: str  #: the kernel that started it, or ""
    session: str
    owner: str  #: kernel, process, server, detached, remote
    state: str  #: starting, running, lost, silent, incompatible, stopping
    text: str  #: why it is in trouble, or ""
    summary: Summary | None  #: None while nothing has been heard from it

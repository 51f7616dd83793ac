"""Every setting, with its unit, its default and where its value came from.

Settings are frozen records, read once at the edge of a process (`settings()`) and handed inwards; nothing below asks the environment again. A
value comes from the first of: an argument in the code; the environment, `JUPYTERFUT_<GROUP>_<NAME>` (`JUPYTERFUT_WORKER_INLINE_BYTES=64kB`); the
settings file (`JUPYTERFUT_CONFIG`, else `jupyterfut/config.yaml` in the user's configuration directory); the default. `jupyterfut config` prints
all of them.

The file maps groups to names, in YAML (needs PyYAML: `pip install jupyterfut[yaml]`) or in JSON:

    worker:
      inline_bytes: 64kB
    scheduler:
      lease_s: 2 min

Byte sizes may be written `64kB`, `1.5 GiB`; seconds `500ms`, `10 s`, `2 min`, `1h`. A process that starts another hands its settings on
(`to_dict`, `from_dict`).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

from jupyterfut.errors import ConfigError

if TYPE_CHECKING:
    from datetime import timedelta

# --- numbers with units

_BYTES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SECONDS = {
    "": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "µs": 1e-6,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days":
    86400.0,
}  # fmt: skip
_NUMBER = r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµ]*)\s*"


def parse_bytes(value: str | int | float) -> int:
    """A size in bytes from a number or a text. Raises ValueError naming what it cannot read.

    >>> parse_bytes("64kB"), parse_bytes("1.5 GiB"), parse_bytes(1e6)
    (64000, 1610612736, 1000000)
    """
    return int(_quantity(value, _BYTES, "a size in bytes, such as 64000, '64kB' or '1.5 GiB'"))


def parse_seconds(value: str | int | float | timedelta) -> float:
    """A duration in seconds from a number, a text or a `timedelta`. Raises ValueError naming what it cannot read.

    >>> from datetime import timedelta
    >>> parse_seconds("10 ms"), parse_seconds("2 min"), parse_seconds(3), parse_seconds(timedelta(hours=1))
    (0.01, 120.0, 3.0, 3600.0)
    """
    if hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    return _quantity(value, _SECONDS, "a duration in seconds, such as 10, '500ms' or '2 min'")


def _quantity(value: str | int | float, units: Mapping[str, float], wanted: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value >= 0:  # also refuses nan
            return float(value)
    elif isinstance(value, str) and (match := re.fullmatch(_NUMBER, value)) and match[2].lower() in units:
        return float(match[1]) * units[match[2].lower()]
    raise ValueError(f"{value!r} is not {wanted}")


# --- the settings


# Each is `Annotated[type, unit, what it is for]`. The unit also says how a text is read: "bytes", "s", "path", "text", "share" (0 to 1), "" (a
# number), or the allowed words, parted by "|". Named tuples, since a dataclass takes ten times as long to make, in every process
# (docs/design/decisions/start-up.md).


class SchedulerSettings(NamedTuple):
    """What the scheduler's machine and server keep to."""

    lease_s: Annotated[float, "s", "how long a client that lost its link keeps its futures"] = 30.0
    worker_ttl_s: Annotated[float, "s", "a worker that has said nothing for so long counts as lost"] = 60.0
    allowed_failures: Annotated[int, "", "after so many deaths of workers under one task it fails with KilledWorker"] = 3
    journal_entries: Annotated[int, "", "how many events are kept for `story`"] = 100_000
    log_lines: Annotated[int, "", "how many log lines are kept for `Client.get_scheduler_logs`"] = 10_000
    allow_run: Annotated[
        str, "auto|yes|no", "whether clients may run functions and plugins in the scheduler; auto: in one that a client or program starts for itself"
    ] = "auto"
    events_kept: Annotated[int, "", "how many events of each topic are kept for `get_events`"] = 10_000
    value_limit_bytes: Annotated[int, "bytes", "queues and variables refuse a larger value: scatter it, and send its future"] = 10_000_000


class WorkerSettings(NamedTuple):
    """What a worker keeps to."""

    inline_bytes: Annotated[int, "bytes", "results up to this size travel inside messages; larger ones stay on the worker until asked for"] = 16_000
    heartbeat_s: Annotated[float, "s", "how often a worker reports that it lives, and its metrics"] = 2.0
    memory_spill: Annotated[float, "share", "of the memory limit: from here results are written to disk"] = 0.7
    memory_pause: Annotated[float, "share", "of the memory limit: from here one task runs at a time"] = 0.8
    profile_interval_s: Annotated[float, "s", "how often the profiler looks at what tasks are doing; 0: never"] = 0.01
    profile_slice_s: Annotated[float, "s", "how finely `Client.profile(start=, stop=)` can tell times apart"] = 1.0
    log_lines: Annotated[int, "", "how many log lines a worker, and a nanny, keeps for `Client.get_worker_logs`"] = 1_000
    output_bytes: Annotated[
        int, "bytes", "how much a task may print and display at once, and in eight seconds from then on; the rest is left out. 0: nothing is sent"
    ] = 4_000_000
    echo_prints: Annotated[
        str, "auto|yes|no", "whether what tasks print with jupyterfut's print goes to the worker's output, too; auto: unless its client's is the same"
    ] = "auto"
    interrupt: Annotated[
        str, "yes|no", "whether cancelling a task interrupts it if it is running already (Python code, in worker processes); no: it ends by itself"
    ] = "yes"
    switch_interval_s: Annotated[float, "s", "in worker processes, how long a thread keeps the interpreter (`sys.setswitchinterval`)"] = 0.005
    local_directory: Annotated[str, "path", "where spilled results go; empty: the system's directory for temporary files"] = ""


class NannySettings(NamedTuple):
    """What the supervisor of a worker process keeps to."""

    memory_terminate: Annotated[float, "share", "of the memory limit: a worker process above it is killed and started again"] = 0.95
    memory_check_s: Annotated[float, "s", "how often the memory of a worker with a limit is looked at"] = 0.2
    start_timeout_s: Annotated[float, "s", "a worker process that has not joined the scheduler by then has failed to start"] = 60.0
    close_timeout_s: Annotated[float, "s", "a worker process that has not ended by then, once told to, is killed"] = 5.0
    backoff_first_s: Annotated[float, "s", "the wait before the second restart in a row (the first is at once); doubled each time"] = 0.25
    backoff_max_s: Annotated[float, "s", "the longest wait between two restarts"] = 30.0
    stable_s: Annotated[float, "s", "a worker that has lived so long ends a row of restarts"] = 30.0


class CommSettings(NamedTuple):
    """What every connection keeps to."""

    connect_timeout_s: Annotated[float, "s", "how long a connection may take, handshake included"] = 10.0
    frame_bytes_limit: Annotated[int, "bytes", "a larger frame is refused and its connection closed; out-of-band buffers are not counted"] = 2**32
    shared_memory_bytes: Annotated[
        int, "bytes", "parts of values from this size on go through shared memory between processes of one machine (Linux); 0: never"
    ] = 2**20
    tls_cert: Annotated[str, "path", "certificate (PEM) shown to the other side of a tls:// connection"] = ""
    tls_key: Annotated[str, "path", "its private key (PEM)"] = ""
    tls_ca: Annotated[str, "path", "certificates (PEM) that the other side's must be signed by"] = ""


class ClientSettings(NamedTuple):
    """What clients keep to."""

    timeout_s: Annotated[float, "s", "how long a question to the scheduler may take"] = 30.0
    full_tracebacks: Annotated[str, "yes|no", "whether the traceback of a task's error shows jupyterfut's own frames, too"] = "no"
    output: Annotated[
        str, "prefix|plain|off", "what tasks print, in a terminal or script: with the task's key before each line, without it, or not at all"
    ] = "prefix"
    log_chars: Annotated[int, "", "so many characters of what a task prints are kept for `Future.log`: the first and the last half of them"] = 200_000


class DeploySettings(NamedTuple):
    """What clusters started by `Client()` and `LocalCluster` keep to."""

    start_timeout_s: Annotated[float, "s", "how long the scheduler's process may take to come up"] = 60.0
    close_timeout_s: Annotated[float, "s", "how long it may take to end before it is killed"] = 15.0
    retire_timeout_s: Annotated[float, "s", "how long tasks may go on that run on workers which `scale` takes away, before they run elsewhere"] = 60.0
    adaptive_interval_s: Annotated[float, "s", "`adapt` changes the number of workers at most so often"] = 1.0
    adaptive_wait_count: Annotated[int, "", "for so many intervals in a row fewer workers must be enough, before some leave"] = 3
    adaptive_target_s: Annotated[float, "s", "`adapt` starts workers until the known work would take so long"] = 5.0


class NotebookSettings(NamedTuple):
    """What is shown, and how."""

    lease_s: Annotated[
        float, "s", "how long a cluster that was kept holds a notebook's results when its kernel has ended; they wait there for `%futures attach`"
    ] = 43_200.0
    display: Annotated[
        str,
        "auto|html|widget|static",
        "how futures, clients and clusters are shown: moving, with buttons where a page can have them (auto); moving (html); as widgets, "
        "for front ends whose outputs stand in frames of their own (widget); the same text in every run, without addresses, sizes, times, for "
        "documents that are checked (static)",
    ] = "auto"
    output_chars: Annotated[
        int, "", "so many characters of text of its tasks appear under a cell; of what comes then, the newest 4,000 in each second"
    ] = 2_000_000
    cache_bytes: Annotated[int, "bytes", "how much `%%submit --cached` keeps on a machine's disk; what was used longest ago goes"] = 1_000_000_000
    cache_directory: Annotated[str, "path", "where it is kept; empty: `jupyterfut/cells` in the user's cache directory"] = ""


class DashboardSettings(NamedTuple):
    """Where a scheduler's own dashboard is."""

    address: Annotated[
        str,
        "text",
        "where it listens: host and port, such as `127.0.0.1:8787`; `:0` is any free port of this machine only. Empty: there is none",
    ] = "127.0.0.1:0"
    hosts: Annotated[
        str, "text", "names, parted by commas, by which browsers reach it, beside addresses, `localhost` and the machine's own name: behind a proxy"
    ] = ""
    link: Annotated[
        str,
        "text",
        "what `dashboard_link` says, up to the token: behind a proxy. `{port}` and `{NAME}` of environment variables are filled in; empty: where it "
        "listens",
    ] = ""


class Settings(NamedTuple):
    """All groups."""

    scheduler: SchedulerSettings = SchedulerSettings()
    worker: WorkerSettings = WorkerSettings()
    nanny: NannySettings = NannySettings()
    comm: CommSettings = CommSettings()
    client: ClientSettings = ClientSettings()
    deploy: DeploySettings = DeploySettings()
    notebook: NotebookSettings = NotebookSettings()
    dashboard: DashboardSettings = DashboardSettings()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The values that differ from the defaults, as plain JSON types: what a parent process hands to its child.

        >>> Settings(client=ClientSettings(timeout_s=5)).to_dict()
        {'client': {'timeout_s': 5}}
        """
        result: dict[str, dict[str, Any]] = {}
        for group, values in self._asdict().items():
            changed = {name: value for name, value in values._asdict().items() if value != values._field_defaults[name]}
            if changed:
                result[group] = changed
        return result

    @classmethod
    def from_dict(cls, raw: Mapping[str, Mapping[str, Any]], source: str = "argument") -> Settings:
        """Settings from nested plain values. Raises ConfigError, naming `source`, for an unknown name or a value that cannot be read.

        >>> Settings.from_dict({"worker": {"inline_bytes": "64kB"}}).worker.inline_bytes
        64000
        """
        return _resolve([(source, raw)])[0]


_GROUPS: dict[str, type[Any]] = {
    "scheduler": SchedulerSettings,
    "worker": WorkerSettings,
    "nanny": NannySettings,
    "comm": CommSettings,
    "client": ClientSettings,
    "deploy": DeploySettings,
    "notebook": NotebookSettings,
    "dashboard": DashboardSettings,
}


class Value(NamedTuple):
    """One line of `jupyterfut config`."""

    group: str
    name: str
    value: Any
    default: Any
    source: str  #: "default", the name of a variable, or the path of a file
    unit: str
    doc: str


_chosen: list[Settings] = []


def settings() -> Settings:
    """The settings of this process, read once from the environment and the file. Raises ConfigError for a value that cannot be read."""
    return _chosen[0] if _chosen else _read()


def use(chosen: Settings) -> None:
    """Make these the settings of this process: a child process takes over what its parent handed on."""
    _chosen[:] = [chosen]


def explain(environ: Mapping[str, str] | None = None) -> list[Value]:
    """Every setting with its value and source, in order, read afresh."""
    return _resolve(_sources(os.environ if environ is None else environ))[1]


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the settings file is, or would be."""
    if explicit := environ.get("JUPYTERFUT_CONFIG"):
        return Path(explicit).expanduser()
    if sys.platform == "win32" and (roaming := environ.get("APPDATA")):
        return Path(roaming) / "jupyterfut" / "config.yaml"
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "jupyterfut" / "config.yaml"


def variable(group: str, name: str) -> str:
    """The environment variable of a setting.

    >>> variable("worker", "inline_bytes"), variable("notebook", "display")
    ('JUPYTERFUT_WORKER_INLINE_BYTES', 'JUPYTERFUT_DISPLAY')
    """
    return _SHORT_VARIABLES.get((group, name)) or f"JUPYTERFUT_{group}_{name}".upper()


_SHORT_VARIABLES = {("notebook", "display"): "JUPYTERFUT_DISPLAY", ("client", "output"): "JUPYTERFUT_OUTPUT"}


@cache
def _read() -> Settings:
    sources = _sources(os.environ)
    return _resolve(sources)[0] if any(values for _source, values in sources) else Settings()


def _sources(environ: Mapping[str, str]) -> list[tuple[str, Mapping[str, Mapping[str, Any]]]]:
    """Nested values with their sources, strongest first."""
    variables: dict[str, dict[str, str]] = {}
    for group, group_type in _GROUPS.items():
        for item in group_type._fields:
            name = variable(group, item)
            if name in environ:
                variables.setdefault(group, {})[item] = environ[name]
    path = config_path(environ)
    return [("", variables), (str(path), _load_file(path, required="JUPYTERFUT_CONFIG" in environ))]


def _load_file(path: Path, *, required: bool) -> Mapping[str, Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        if required or not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise ConfigError(f"cannot read the settings file {path}: {error.strerror or error}") from error
        return {}
    try:
        raw = json.loads(text)
    except ValueError:
        try:
            import yaml
        except ImportError as error:
            raise ConfigError(
                f"the settings file {path} is not JSON, and PyYAML is not installed to read it: pip install 'jupyterfut[yaml]'"
            ) from error
        try:
            raw = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"the settings file {path} is neither JSON nor YAML: {error}") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict) or not all(isinstance(values, dict) for values in raw.values()):
        raise ConfigError(f"the settings file {path} must map groups ({', '.join(_GROUPS)}) to settings")
    return raw


def _resolve(sources: list[tuple[str, Mapping[str, Mapping[str, Any]]]]) -> tuple[Settings, list[Value]]:
    for source, raw in sources:
        for group_name, values in raw.items():
            if group_name not in _GROUPS:
                raise ConfigError(f"{source}: there is no group {group_name!r} of settings (there are: {', '.join(_GROUPS)})")
            known = _GROUPS[group_name]._fields
            for name in values:
                if name not in known:
                    raise ConfigError(f"{source}: there is no setting {group_name}.{name} (there are: {', '.join(known)})")
    chosen: dict[str, Any] = {}
    explained: list[Value] = []
    for group_name, group_type in _GROUPS.items():
        hints = get_type_hints(group_type, include_extras=True)
        arguments: dict[str, Any] = {}
        for name, default in group_type._field_defaults.items():
            unit, doc = hints[name].__metadata__
            value, source = default, "default"
            for where, raw in sources:
                if name in raw.get(group_name, {}):
                    source = where or variable(group_name, name)
                    try:
                        value = _convert(raw[group_name][name], unit, whole=isinstance(default, int))
                    except (ValueError, TypeError) as error:
                        raise ConfigError(f"{source}: {group_name}.{name}: {error}") from error
                    break
            arguments[name] = value
            explained.append(Value(group_name, name, value, default, source, unit, doc))
        chosen[group_name] = group_type(**arguments)
    return Settings(**chosen), explained


def _convert(raw: Any, unit: str, *, whole: bool) -> Any:
    if unit == "bytes":
        return parse_bytes(raw)
    if unit == "s":
        return parse_seconds(raw)
    if unit in ("path", "text"):
        if not isinstance(raw, str):
            raise ValueError(f"{raw!r} is not a {unit}")
        return raw
    if "|" in unit:
        if raw not in unit.split("|"):
            raise ValueError(f"{raw!r} is not one of {unit.replace('|', ', ')}")
        return raw
    number = float(raw)
    if unit == "share" and not 0 <= number <= 1:
        raise ValueError(f"{raw!r} is not a share between 0 and 1")
    if whole and (number != int(number) or number < 0):
        raise ValueError(f"{raw!r} is not a whole number of at least 0")
    return int(number) if whole else number

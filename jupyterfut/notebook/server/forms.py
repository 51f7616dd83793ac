"""What pages send when a cluster shall be started, resized or added: read, checked and made plain, before anything happens.

A body is a JSON object. Whatever is wrong with it is a `BadForm` that names the field; a field that nobody knows is wrong too, so that a misspelt
option is not lost. What each type of cluster takes is told by `types()`, from which the sidebar makes its dialog.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from jupyterfut.comm import Security, format_address, parse_address
from jupyterfut.deploy.local import default_shape
from jupyterfut.errors import ConfigError
from jupyterfut.runtime.process import cpu_count, parse_memory_limit, total_memory_bytes

TYPES = ("local", "ssh")

WORKERS_LIMIT = 100_000
_NAME = re.compile(r"[^\W_][\w .+@-]{0,79}")
_FIELDS = ("type", "name", "n_workers", "threads_per_worker", "memory_limit", "resources", "detached", "environment", "adapt", "options")
_OPTIONS = {"local": ("local_directory",), "ssh": ("hosts", "username", "port", "identity_file", "remote_python", "tls", "allow_plain")}


class BadForm(ConfigError):
    """A page has sent what makes no sense; the text names the field."""


class Start(NamedTuple):
    """A cluster to be started."""

    wish: dict[str, Any]  #: for `jupyterfut cluster start --pipe`
    name: str  #: "" for one that the server thinks of
    environment: str


class Bounds(NamedTuple):
    """Of a cluster that sizes itself."""

    minimum: int
    maximum: int | None


class Remote(NamedTuple):
    """A cluster that runs elsewhere."""

    address: str
    name: str
    security: Security


def start(body: Any, defaults: dict[str, Any]) -> Start:
    """Read the body of POST clusters. `defaults` stand in for what it leaves out.

    >>> wanted = start({"n_workers": 2, "memory_limit": "1 GB"}, {"threads_per_worker": 1})
    >>> wanted.wish["options"] == {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "1 GB"}
    True
    """
    fields = {**defaults, **_object(body, _FIELDS)}
    fields["options"] = {**(defaults.get("options") or {}), **(fields.get("options") or {})} if isinstance(fields.get("options"), dict) else {}
    kind = fields.get("type") or "local"
    if kind not in TYPES:
        raise BadForm(f"type: there is no type of cluster {kind!r} (there are: {', '.join(TYPES)})")
    n_workers = whole(fields, "n_workers", 0)
    threads = whole(fields, "threads_per_worker", 1)
    limit = _memory_limit(fields.get("memory_limit"))
    resources = _resources(fields.get("resources"))
    more = _object(fields["options"], _OPTIONS[kind], "options: ")
    if kind == "local":
        chosen: dict[str, Any] = {"n_workers": n_workers, "threads_per_worker": threads, "memory_limit": limit, "resources": resources}
        chosen["local_directory"] = text(more, "local_directory")
    else:
        chosen = _ssh(more, {"n_workers": n_workers, "nthreads": threads, "memory_limit": limit, "resources": resources})
    adapt = fields.get("adapt")
    bounds = None if adapt is None else adapt_bounds(adapt)
    wish = {
        "type": kind,
        "name": "",
        "detached": flag(fields, "detached"),
        "adapt": None if bounds is None else bounds._asdict(),
        "options": {name: value for name, value in chosen.items() if value is not None},
    }
    return Start(wish, cluster_name(fields.get("name")), text(fields, "environment") or "")


def _ssh(more: dict[str, Any], worker: dict[str, Any]) -> dict[str, Any]:
    hosts = more.get("hosts")
    if isinstance(hosts, str):
        hosts = hosts.replace(",", " ").split()
    if not isinstance(hosts, list) or len(hosts) < 2 or not all(isinstance(host, str) and host and not host.startswith("-") for host in hosts):
        raise BadForm("hosts: at least two, the scheduler's and one for each worker (name a machine twice to have both on it)")
    connect = {name: value for name in ("username", "identity_file") if (value := text(more, name))}
    port = whole(more, "port", 1)
    tls = more.get("tls")
    if tls is not None:
        tls = {kind: _file(path, f"tls.{kind}") for kind, path in _object(tls, ("cert", "key", "ca"), "tls.").items() if path}
    return {
        "hosts": hosts,
        "connect_options": {**connect, **({"port": port} if port else {})},
        "worker_options": {name: value for name, value in worker.items() if value is not None},
        "remote_python": text(more, "remote_python") or None,
        "tls": tls or None,
        "allow_plain": flag(more, "allow_plain") or None,
    }


def resize(body: Any) -> int | Bounds | None:
    """Read the body of PATCH clusters/<id>: a number of workers, bounds to adapt between, or None to adapt no more.

    >>> resize({"n_workers": 3}), resize({"adapt": {"minimum": 1, "maximum": 8}}), resize({"adapt": None})
    (3, Bounds(minimum=1, maximum=8), None)
    """
    fields = _object(body, ("n_workers", "adapt"))
    if len(fields) != 1:
        raise BadForm('give either {"n_workers": n} or {"adapt": {"minimum": n, "maximum": m}} or {"adapt": null}')
    if "adapt" in fields:
        return None if fields["adapt"] is None else adapt_bounds(fields["adapt"])
    n = whole(fields, "n_workers", 0)
    if n is None:
        raise BadForm("n_workers: is a whole number, at least 0")
    return n


def adapt_bounds(value: Any) -> Bounds:
    """Bounds of adapting. Raises BadForm."""
    fields = _object(value, ("minimum", "maximum"), "adapt: ")
    minimum, maximum = whole(fields, "minimum", 0) or 0, whole(fields, "maximum", 1)
    if maximum is not None and maximum < minimum:
        raise BadForm(f"adapt: the maximum ({maximum}) is below the minimum ({minimum})")
    return Bounds(minimum, maximum)


def remote(body: Any) -> Remote:
    """Read the body of POST remotes."""
    fields = _object(body, ("address", "token", "name", "tls_ca"))
    address = (text(fields, "address") or "").strip()
    try:
        parsed = parse_address(address)
    except ValueError as error:
        raise BadForm(f"address: {address!r} is no address, such as tcp://10.0.0.1:8786") from error
    if parsed.scheme not in ("tcp", "tls") or not parsed.port or not parsed.host:
        raise BadForm(f"address: {address!r} is no address of another process, such as tcp://10.0.0.1:8786")
    address = format_address(*parsed)
    token = (text(fields, "token") or "").strip()
    if not token:
        raise BadForm("token: a cluster lets nobody in without it")
    ca = text(fields, "tls_ca")
    if ca and parsed.scheme != "tls":
        raise BadForm("tls_ca: is for tls:// addresses")
    name = cluster_name(fields.get("name")) or address.partition("://")[2]
    return Remote(address, name, Security(token, tls_ca=_file(ca, "tls_ca") if ca else None))


# --- single fields


def cluster_name(value: Any) -> str:
    """A cluster's name; "" if none was given.

    >>> cluster_name(" mill 2 "), cluster_name(None)
    ('mill 2', '')
    """
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not _NAME.fullmatch(value.strip()):
        raise BadForm("name: begins with a letter or digit, and has letters, digits, spaces and . + @ _ - in it, at most 80")
    return value.strip()


def text(fields: dict[str, Any], name: str) -> str | None:
    """A text, or None."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value or len(value) > 4096:
        raise BadForm(f"{name}: is a text")
    return value


def flag(fields: dict[str, Any], name: str) -> bool:
    """Yes or no; no if it was not given."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadForm(f"{name}: is true or false")
    return bool(value)


def whole(fields: dict[str, Any], name: str, minimum: int) -> int | None:
    """A whole number, or None."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or not minimum <= value <= WORKERS_LIMIT:
        raise BadForm(f"{name}: is a whole number, at least {minimum}, not {str(value)[:40]!r}")
    return value


def _memory_limit(value: Any) -> int | float | str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or (isinstance(value, float) and not math.isfinite(value)):
        raise BadForm("memory_limit: is auto, none, a number of bytes, or a size such as 4GB")
    try:
        parse_memory_limit(value)
    except ConfigError as error:
        raise BadForm(str(error)) from error
    return value


def _resources(value: Any) -> dict[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(
        isinstance(amount, (int, float)) and not isinstance(amount, bool) and 0 <= amount < math.inf for amount in value.values()
    ):
        raise BadForm('resources: say how much each worker offers of what, such as {"GPU": 1}')
    return {str(name): float(amount) for name, amount in value.items()}


def _file(path: Any, name: str) -> str:
    if not isinstance(path, str) or not os.path.isfile(os.path.expanduser(path)):
        raise BadForm(f"{name}: there is no file {str(path)[:200]!r} where the server runs")
    return str(Path(path).expanduser().absolute())


def _object(value: Any, known: tuple[str, ...], where: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadForm(f"{where}a JSON object is wanted here, with some of: {', '.join(known)}")
    if unknown := [str(name) for name in value if name not in known]:
        raise BadForm(f"{where}there is no {', '.join(map(repr, unknown))[:200]} here (there is: {', '.join(known)})")
    return value


# --- what a dialog shows


def types(defaults: dict[str, Any]) -> list[dict[str, Any]]:
    """The types of clusters with their options: `name` (in the body of POST clusters, or, if `inner`, in its `options`), `title`, `kind` (integer,
    text, size, flag), `default`, `suggested` (what an empty field will be), `help`."""
    workers, threads = default_shape(None, None, True, cpu_count())
    share = total_memory_bytes() // max(1, workers)
    common = [
        _option("n_workers", "Workers", "integer", defaults, minimum=0, suggested=str(workers), help="How many worker processes."),
        _option("threads_per_worker", "Threads per worker", "integer", defaults, minimum=1, suggested=str(threads), help="Tasks at a time in each."),
        _option("memory_limit", "Memory per worker", "size", defaults, suggested=_gigabytes(share), help="auto, none, or a size such as 4GB."),
    ]
    detached = _option("detached", "Keep it when Jupyter ends", "flag", defaults, help="It then ends only when it is stopped.")
    machines = [
        _option("hosts", "Machines", "text", defaults, inner=True, required=True, help="The scheduler's, then one for each group of workers."),
        _option("username", "User name", "text", defaults, inner=True, help="For ssh."),
        _option("identity_file", "Key file", "text", defaults, inner=True, help="For ssh, where the Jupyter server runs."),
        _option("remote_python", "Python there", "text", defaults, inner=True, help="A command; default: the same path as here."),
        _option("allow_plain", "Without TLS", "flag", defaults, inner=True, help="Only on a network that is trusted."),
    ]
    each = [{**common[0], "title": "Workers per machine", "suggested": "1"}, {**common[1], "suggested": "the machine's cores"}, common[2]]
    each[2] = {**each[2], "suggested": "the machine's memory, shared"}
    return [
        {"name": "local", "title": "This machine", "environment": True, "options": [*common, detached]},
        {"name": "ssh", "title": "Machines reached with ssh", "environment": True, "options": [*machines, *each, detached]},
    ]


def _option(name: str, title: str, kind: str, defaults: dict[str, Any], *, inner: bool = False, **more: Any) -> dict[str, Any]:
    source = (defaults.get("options") or {}) if inner else defaults
    return {"name": name, "title": title, "kind": kind, "inner": inner, "default": source.get(name), "suggested": "", **more}


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size else "the machine's memory, shared"

"""Results of `%%submit --cached` cells, kept on the disk of the machine that ran them, in the user's cache directory.

One file a cell, named by the hash of everything that goes into it (`content`): its code, the Python, and what it reads. It is written beside its
place and moved there, and says its own length and hash: a file that is cut short or changed is ignored with a warning. The directory is the user's
alone (0700) and is not used otherwise, since what is in it is unpickled. When it grows beyond the setting `notebook.cache_bytes`, what was used
longest ago goes.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import warnings
from hashlib import blake2b
from pathlib import Path
from typing import Any

from jupyterfut import config
from jupyterfut.errors import SerializationError
from jupyterfut.serde import dumps, loads
from jupyterfut.wire.payload import Blob

_MAGIC = b"jupyterfut cell 1\n"
_DIGEST_BYTES = 20
_SUFFIX = ".cell"


class Unusable(UserWarning):
    """The cache could not be read or written; the cell runs without it."""


def directory() -> Path:
    """Where results are kept: the setting `notebook.cache_directory`, or the user's cache directory."""
    chosen = config.settings().notebook.cache_directory
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "jupyterfut" / "cells"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "jupyterfut" / "cells"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyterfut" / "cells"


def load(name: str) -> Any:
    """The value that was kept under this name; None if there is none. A file that is of no use is told as a warning; it never raises."""
    try:
        place = _own_directory()
        if place is None:
            return None
        path = place / f"{name}{_SUFFIX}"
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        warn(f"cannot be read ({error})")
        return None
    body = data[len(_MAGIC) + _DIGEST_BYTES :]
    if data[: len(_MAGIC)] != _MAGIC or blake2b(body, digest_size=_DIGEST_BYTES).digest() != data[len(_MAGIC) : len(_MAGIC) + _DIGEST_BYTES]:
        warn(f"has a damaged file, {path.name}, which is ignored")
        return None
    try:
        value = loads(Blob(memoryview(body), ()))
    except Exception as error:  # noqa: BLE001  # a class that has changed since may raise anything; the cell runs again then
        warn(f"has a result that can no longer be read ({type(error).__name__}: {error})")
        return None
    try:
        os.utime(path)  # used now
    except OSError:
        return value  # another worker has just taken it away
    return value


def keep(name: str, value: Any) -> bool:
    """Keep a value under this name; returns whether it could be."""
    limit = config.settings().notebook.cache_bytes
    try:
        payload = dumps(value)
    except SerializationError as error:
        warn(f"cannot keep the result of this cell: {error}")
        return False
    body = payload if type(payload) is bytes else _in_band(value)
    if len(body) > limit:
        warn(f"cannot keep the result of this cell: it has {len(body):,} bytes, and notebook.cache_bytes is {limit:,}")
        return False
    try:
        place = _own_directory()
        if place is None:
            return False
        handle, part = tempfile.mkstemp(prefix=f"{name}.", suffix=".part", dir=place)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC)
                file.write(blake2b(body, digest_size=_DIGEST_BYTES).digest())
                file.write(body)
            os.replace(part, place / f"{name}{_SUFFIX}")
        except BaseException:
            os.unlink(part)
            raise
        _trim(place, limit)
    except OSError as error:
        warn(f"cannot be written ({error})")
        return False
    return True


def _in_band(value: Any) -> bytes:
    """One piece, large buffers included."""
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, protocol=5)
    return data


def _own_directory() -> Path | None:
    """The directory, made if need be. None, with a warning, if somebody else could write to it."""
    place = directory()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = place.stat()
    if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        warn("is not used, since others can write to it: it must be yours, with mode 0700")
        return None
    return place


def _trim(place: Path, limit: int) -> None:
    files = []
    for entry in os.scandir(place):
        if entry.name.endswith((_SUFFIX, ".part")):
            try:
                about = entry.stat()
            except FileNotFoundError:
                continue  # another worker trims, too
            files.append((about.st_mtime_ns, about.st_size, entry.path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            return
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        total -= size


def warn(text: str) -> None:
    warnings.warn(f"--cached: the cache {directory()} {text}", Unusable, stacklevel=3)

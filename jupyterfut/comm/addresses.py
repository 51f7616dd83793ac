"""Addresses: `tcp://host:port`, `tls://host:port`, `inproc://name`, and the bare `host:port`, which means tcp. Users type them, so a bad one says
what is wrong with it.
"""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

from jupyterfut.ids import Address

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://(.*)$", re.IGNORECASE)


class Parts(NamedTuple):
    """An address taken apart. `inproc` has a name for host and port 0."""

    scheme: str
    host: str
    port: int


def parse_address(address: str) -> Parts:
    """Take an address apart. A missing port is 0. Raises ValueError that names the address and its fault.

    >>> parse_address("tls://[::1]:8786")
    Parts(scheme='tls', host='::1', port=8786)
    >>> parse_address("localhost:0").scheme
    'tcp'
    """
    if not isinstance(address, str):
        raise ValueError(f"not an address: {address!r} (a string such as 'tcp://127.0.0.1:8786' is wanted)")
    match = _SCHEME.match(address.strip())
    scheme, rest = (match[1].lower(), match[2]) if match else ("tcp", address.strip())
    if scheme == "inproc":
        return Parts(scheme, rest, 0)
    rest = rest.rstrip("/")
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError(f"not an address: {address!r} (an IPv6 host is written '[::1]:8786')")
        text = tail[1:]
    elif rest.count(":") > 1:
        raise ValueError(f"not an address: {address!r} (an IPv6 host is written '[::1]:8786')")
    else:
        host, _, text = rest.partition(":")
    if not text:
        return Parts(scheme, host, 0)
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise ValueError(f"not an address: {address!r} (its port {text!r} is no number from 0 to 65535)")
    return Parts(scheme, host, int(text))


def format_address(scheme: str, host: str, port: int) -> Address:
    """The reverse of `parse_address`.

    >>> format_address("tcp", "::1", 80)
    'tcp://[::1]:80'
    """
    if scheme == "inproc":
        return Address(f"inproc://{host}")
    return Address(f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host.

    >>> is_loopback("127.0.0.1"), is_loopback("10.0.0.1")
    (True, False)
    """
    return host in ("localhost", "::1") or host.startswith("127.")


def contact_host(host: str) -> str:
    """What others call a host that we bind: for "all interfaces" it is the address of the interface with the default route, without sending anything.

    >>> contact_host("127.0.0.1")
    '127.0.0.1'
    """
    if host not in ("", "0.0.0.0", "::"):
        return host
    family, far = (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "198.51.100.1")
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((far, 9))  # a datagram socket's connect only chooses the route
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])

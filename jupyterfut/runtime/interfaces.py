"""Which host to listen on and which to tell others: loopback, wildcards, and the interface that leads to somebody."""

from __future__ import annotations

import ipaddress
import socket

from jupyterfut.errors import ConfigError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("")
    (True, True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Whether a server on `host` listens on every interface.

    >>> is_wildcard("0.0.0.0"), is_wildcard("::"), is_wildcard(""), is_wildcard("10.0.0.1")
    (True, True, True, False)
    """
    return host in ("", "0.0.0.0", "::")


def interface_towards(host: str, port: int) -> str:
    """This machine's address on the way to `host`. Nothing is sent: a datagram socket is only connected, which makes the system choose a route.
    Raises OSError when there is none.

    >>> interface_towards("127.0.0.1", 9)
    '127.0.0.1'
    """
    family, kind, protocol, _name, address = socket.getaddrinfo(host, port or 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])


def reachable_host(host: str) -> str:
    """What to tell others of a server on `host`: itself, or for a wildcard this machine's address on the way out (loopback if there is no way
    out)."""
    if not is_wildcard(host):
        return host
    outside = "2001:db8::1" if host == "::" else "192.0.2.1"  # documentation addresses (RFC 5737, RFC 3849): a route to them is the default route
    try:
        return interface_towards(outside, 9)
    except OSError:
        return "::1" if host == "::" else "127.0.0.1"


def join(scheme: str, host: str, port: int) -> str:
    """An address.

    >>> join("tcp", "127.0.0.1", 80), join("tls", "::1", 80)
    ('tcp://127.0.0.1:80', 'tls://[::1]:80')
    """
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def host_and_port(address: str | int, what: str = "a dashboard's address") -> tuple[str, int]:
    """Where to listen, as people write it: "127.0.0.1:8787", ":8787" (loopback), "8787", 0 (any free port). Raises ConfigError.

    >>> host_and_port(":8787"), host_and_port(0), host_and_port("0.0.0.0:80"), host_and_port("[::1]:80"), host_and_port("localhost")
    (('127.0.0.1', 8787), ('127.0.0.1', 0), ('0.0.0.0', 80), ('::1', 80), ('localhost', 0))
    """
    text = str(address).strip()
    host, colon, port = ("", ":", text) if text.isdigit() else text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "0"
    if not port.isdigit() or int(port) > 65535 or "/" in host or not text:
        raise ConfigError(f"{what} is a host and a port, such as '127.0.0.1:8787' or ':0', not {address!r}")
    return host.strip("[]") or "127.0.0.1", int(port)

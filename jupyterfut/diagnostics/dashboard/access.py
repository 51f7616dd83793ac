"""Who may see a dashboard: those who come with the link's token, and then with the cookie that they got for it; by a name that is this machine's.

- The token comes once, in the address. It is exchanged for a cookie and the browser is sent to the address without it, so that it stays neither in
  the history nor in what the page tells others (Referer). The cookie is for this server's port only, is not readable by scripts, and is worth nothing
  when the scheduler has ended.
- Whoever has neither gets 403, for every path.
- A page of another site that has got its own name to mean this machine (DNS rebinding) comes by that name: names that are not known are refused. The
  websocket takes no page of another origin.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
from urllib.parse import urlsplit


class Access:
    """The rules of one dashboard. `names`: those under which it may be reached beside addresses, localhost and this machine's own name."""

    def __init__(self, token: str, port: int, names: str = "") -> None:
        self.cookie = f"jupyterfut-{port}"
        self.session = os.urandom(32).hex()
        self._token = token
        self._names = {"localhost", socket.gethostname().lower(), *(name.strip().lower() for name in names.split(",") if name.strip())}

    def knows_host(self, host: str) -> bool:
        """Whether a request's Host is one of ours.

        >>> access = Access("t", 80, "hub.example.org")
        >>> [access.knows_host(h) for h in ("127.0.0.1:80", "[::1]:80", "localhost", "Hub.Example.org", "evil.example", "")]
        [True, True, True, True, False, False]
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def is_token(self, given: str) -> bool:
        """Whether this is the link's token."""
        return hmac.compare_digest(given.encode(), self._token.encode())

    def is_session(self, given: str | None) -> bool:
        """Whether this is the cookie's value."""
        return given is not None and hmac.compare_digest(given.encode(), self.session.encode())


def is_same_origin(origin: str | None, host: str) -> bool:
    """Whether a websocket is opened by our own page. No browser leaves `Origin` out; what is no browser has no pages that could be misused.

    >>> is_same_origin("http://127.0.0.1:80", "127.0.0.1:80"), is_same_origin("http://evil.example", "127.0.0.1:80"), is_same_origin(None, "x")
    (True, False, True)
    """
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()

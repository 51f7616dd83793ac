"""Who may connect: the cluster's token, and certificates for `tls://`. Made at the edge (arguments, connection files) and handed to `connect` and
`listen`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from jupyterfut.errors import ConnectionFailed


@dataclass(frozen=True, slots=True)
class Security:
    """What a process needs to know to join a cluster. The token never appears in `repr`.

    `tls_cert` and `tls_key` are PEM files of this process's certificate (every process that listens on `tls://` wants one), `tls_ca` of the
    authority that signed them all.
    With `tls_ca` a certificate is good for any host name, since the authority is the cluster's own; without it the system's authorities and the host
    name count.
    A process that listens asks for the other side's certificate too when `tls_client_certs` is true; otherwise the token is what tells friend from
    stranger.

    >>> Security(token="secret")
    Security(tls_cert=None, tls_key=None, tls_ca=None, tls_client_certs=False)
    """

    token: str | None = field(default=None, repr=False)
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_ca: str | None = None
    tls_client_certs: bool = False

    def connecting_context(self) -> ssl.SSLContext:
        """TLS settings of the side that connects. Raises `ConnectionFailed` when a file cannot be read."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.tls_ca)
            if self.tls_ca:
                context.check_hostname = False
            if self.tls_cert:
                context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionFailed(f"cannot use the certificates of {self!r}: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def listening_context(self) -> ssl.SSLContext:
        """TLS settings of the side that listens. Raises `ConnectionFailed` when there is no certificate or a file cannot be read."""
        if not self.tls_cert:
            raise ConnectionFailed("listening on tls:// needs a certificate: Security(tls_cert=..., tls_key=...)")
        try:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.tls_ca)
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionFailed(f"cannot use the certificates of {self!r}: {error}") from error
        if self.tls_client_certs:
            context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

"""What `Client(...)` was pointed at: an address, a name, a connection file, a cluster, a scheduler, or nothing; and how to prove the token there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from jupyterfut.comm import Security, parse_address
from jupyterfut.deploy import registry
from jupyterfut.runtime import connections


class Target(NamedTuple):
    """Where to connect."""

    address: str  #: "" while the cluster has not said yet
    security: Security
    cluster: Any = None  #: a `deploy.Cluster`, started or given


def find(address: Any, scheduler_file: str | Path | None, security: Security | None) -> Target:
    """Resolve what the user gave. Raises ConnectionFailed (no such cluster, no such file), ValueError and TypeError (no address at all)."""
    if security is not None and not isinstance(security, Security):
        raise TypeError(f"security is a jupyterfut.Security, not {security!r}")
    if scheduler_file is not None:
        if address is not None:
            raise TypeError("give an address or a scheduler_file, not both")
        return _of_file(connections.read_connection_file(scheduler_file), security)
    if isinstance(address, str):
        if "://" in address or ":" in address:
            parse_address(address)
            if "://" not in address:
                address = f"tcp://{address}"
            return Target(address, _with_token(security, address))
        return _of_name(address, security)
    if hasattr(address, "scheduler_address"):
        return Target(address.scheduler_address or "", security or address.security, address)
    if isinstance(getattr(address, "address", None), str):
        return Target(address.address, security or _of_server(address))
    raise TypeError(f"Client takes an address, the name of a running cluster, a cluster or a scheduler, not {address!r}")


def _of_name(name: str, security: Security | None) -> Target:
    return _of_file(registry.find(name), security)


def _of_file(info: connections.ConnectionInfo, security: Security | None) -> Target:
    if security is None:
        security = Security(token=info.token, tls_ca=info.tls_ca)
    elif security.token is None:
        security = dataclasses.replace(security, token=info.token)
    return Target(info.address, security)


def _of_server(server: Any) -> Security:
    security: Security | None = getattr(server, "security", None)
    token: str | None = getattr(server, "token", None)
    if security is None:
        return Security(token=token)
    return security if security.token is not None or token is None else dataclasses.replace(security, token=token)


def _with_token(security: Security | None, address: str) -> Security:
    if security is None:
        return Security(token=connections.token_for(address))
    if security.token is None:
        return dataclasses.replace(security, token=connections.token_for(address))
    return security

"""Which client a magic uses: the notebook's own, one that its first use starts, or one of a cluster that `--on` names; and the client with which a
notebook begins, if that was chosen.

A client that is started here is kept here: the notebook need not hold it under a name. It ends with the kernel, and its cluster with it.
"""

from __future__ import annotations

from typing import Any

from jupyterfut import config
from jupyterfut.client.client import Client
from jupyterfut.client.current import default_client, open_clients
from jupyterfut.views.text import count

_kept: list[Client] = []  # those that were made here, as long as they are open


def client_at_hand() -> Client:
    """The notebook's client (`default_client`). The first use of a notebook without one starts a local cluster, and says so in one line. Blocks until
    it is up."""
    try:
        client: Client = default_client()
    except ValueError:
        client = keep(Client())
        print(started_line(client))  # noqa: T201  # said once, where the user looks
    return client


def client_on(cluster: str) -> Client:
    """The client of a cluster, given by its name or address. Connects if there is none yet, without
    making it the default; blocks until it has.

    Raises what `Client(name)` raises when there is no such cluster.
    """
    for client in reversed(open_clients()):
        if cluster in (client.address, getattr(client.cluster, "name", None)):
            return client
    return keep(Client(cluster, set_as_default=False))


def join(cluster: str, namespace: dict[str, Any]) -> None:
    """See `jupyterfut.notebook.join`."""
    if not open_clients() and "client" not in namespace:
        namespace["client"] = keep(Client(cluster))


def keep(client: Client) -> Client:
    """Hold on to a client as long as it is open."""
    _kept[:] = [one for one in _kept if one.status == "running"]
    _kept.append(client)
    return client


def forget() -> list[Any]:
    """Let go of the clients that were made here, and return them."""
    clients, _kept[:] = list(_kept), []
    return clients


def started_line(client: Client) -> str:
    """What is said of a cluster that has been started."""
    if config.settings().notebook.display == "static":
        return "jupyterfut: started a local cluster"
    threads = client.nthreads()
    return f"jupyterfut: started a local cluster, {count(len(threads), 'worker')} with {count(sum(threads.values()), 'thread')} in all"

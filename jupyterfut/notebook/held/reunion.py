"""A notebook that finds its cluster again: what `%load_ext jupyterfut` does in a kernel that was restarted.

If this notebook has started a cluster that was kept, a client is connected to it and becomes the default one, unless the notebook has another
already. One line says which cluster that is, and a card lists what it holds for this notebook, with what is left of the lease. The card is right
until all is attached or dropped: it is changed when something is, and when a lease ends.
"""

from __future__ import annotations

import time
import uuid
import weakref
from typing import TYPE_CHECKING, Any

from jupyterfut import config
from jupyterfut.client.client import Client
from jupyterfut.client.current import open_clients
from jupyterfut.deploy.kernel import kernel_identity
from jupyterfut.errors import JupyterfutError
from jupyterfut.notebook import clients
from jupyterfut.notebook.background import perform
from jupyterfut.notebook.held import holdings
from jupyterfut.notebook.held.holdings import Ended, Kept
from jupyterfut.notebook.magics.listings import Listing, kept_tables, lasting
from jupyterfut.views.tables import Table
from jupyterfut.views.text import count

if TYPE_CHECKING:
    from jupyterfut.runtime.connections import ConnectionInfo

_cards: weakref.WeakKeyDictionary[Client, Card] = weakref.WeakKeyDictionary()


def connect(shell: Any) -> Client | None:
    """Find a cluster that this notebook has kept, connect to it, and show what it holds. None if there is none here, or it cannot be reached (which
    is said). Blocks while it connects."""
    identity = kernel_identity()
    found = holdings.find(identity) if identity is not None else []
    if not found:
        return None
    here = {client.address: client for client in open_clients()}
    info = next((info for info in found if info.address in here), found[0])
    client = here.get(info.address)
    if client is None:
        if any(client.set_as_default for client in open_clients()):
            print(f"jupyterfut: this notebook's cluster {info.name!r} is still running (%cluster use {info.name})")  # noqa: T201
            return None
        try:
            client = clients.keep(Client(scheduler_file=info.path))
        except (JupyterfutError, OSError) as error:
            print(f"jupyterfut: this notebook's cluster {info.name!r} cannot be reached: {error}")  # noqa: T201
            return None
    show(shell, client, _found_line(info, client, others=len(found) - 1))
    return client


def show(shell: Any, client: Client, line: str) -> None:
    """Say the line, and what the client's cluster holds for this notebook."""
    card = Card(shell, client, line)

    def shown(kept: Kept) -> None:
        card.kept = kept
        card.publish(update=False)
        if kept.holdings:
            _cards[client] = card
            holdings.listen(client, card.lease_ended)

    perform(client, holdings.ask(client), shown)


def look_again(client: Client) -> None:
    """Something that was held has been attached or dropped: the card shows what is left."""
    card = _cards.get(client)
    if card is not None:
        perform(client, holdings.ask(client), card.now_holds)


def names_held() -> list[str]:
    """The names under which something is held for this notebook, as last heard. Never blocks."""
    return [group.name for card in _cards.values() for holding in card.kept.holdings for group in holding.groups]


class Card:
    """What stands under the cell that loaded the extension."""

    def __init__(self, shell: Any, client: Client, line: str) -> None:
        self.shell = shell
        self.line = line
        self.kept = Kept([], [])
        self.static = config.settings().notebook.display == "static"
        self.display_id = f"jupyterfut-{uuid.uuid4().hex}"
        self._client = weakref.ref(client)

    def now_holds(self, kept: Kept) -> None:
        """What the cluster holds has changed."""
        self.kept = kept
        self.publish(update=True)

    def lease_ended(self, ended: Ended) -> None:
        """On the client's loop: a lease of this notebook is over."""
        left = [holding for holding in self.kept.holdings if holding.gone_at + holding.left_s > ended.at + 1]
        still = [holding for holding in left if {group.name for group in holding.groups} != set(ended.names)]
        self.now_holds(Kept(still, [*self.kept.ended, ended]))

    def publish(self, *, update: bool) -> None:
        """Show it, from any thread."""
        listing = Listing([Table(above=self.line), *kept_tables(self.kept, static=self.static)])
        data = {"text/plain": repr(listing), "text/html": listing._repr_html_()}
        self.shell.display_pub.publish(data=data, metadata={}, transient={"display_id": self.display_id}, update=update)


def _found_line(info: ConnectionInfo, client: Client, others: int) -> str:
    if config.settings().notebook.display == "static":
        return f"jupyterfut: connected to the cluster {info.name!r}, which this notebook has kept"
    extent = ""
    if not client.asynchronous:
        threads = client.nthreads()
        extent = f", {count(len(threads), 'worker')} with {count(sum(threads.values()), 'thread')} in all"
    more = f" ({count(others, 'other cluster')} of this notebook: %cluster list)" if others else ""
    return f"jupyterfut: connected to the cluster {info.name!r}, started by this notebook {lasting(time.time() - info.started)} ago{extent}{more}"

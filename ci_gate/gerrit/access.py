"""What the service asks of a Gerrit, whichever way it goes: over SSH, or over REST where there is an HTTP password."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.events import JsonObject
from ci_gate.gerrit.peer import Peer
from ci_gate.gerrit.rest_access import RestAccess
from ci_gate.gerrit.ssh_access import SshAccess
from ci_gate.model.change import ChangeDetails
from ci_gate.model.report import Delivery, Review
from ci_gate.model.search import Search


def open_access(settings: GerritSettings, may_send: Callable[[], bool] = lambda: True) -> GerritAccess:
    """Over REST where there is an HTTP password, else over SSH. Nothing is sent yet; ``may_send``: see ``Peer``."""
    return (RestAccess if settings.password is not None else SshAccess)(settings, may_send)


class GerritAccess(Protocol):
    """One connection's queries and reviews. Used on the loop's thread; every call has its own deadline.

    What is asked raises QueryFailedError. ``readiness``: also whether Gerrit would submit a change
    (gerrit-wire.md 4.6).
    """

    @property
    def settings(self) -> GerritSettings: ...

    @property
    def peer(self) -> Peer: ...

    async def query_change(self, number: str, *, readiness: bool = False) -> ChangeDetails | None:
        """All that Gerrit tells of a change; None if it knows no such change."""
        ...

    async def search_changes(self, search: Search, *, readiness: bool = False) -> tuple[ChangeDetails, ...]:
        """All that Gerrit tells of the changes that a search finds, in its order."""
        ...

    def updated_changes(self, projects: Sequence[str], since_s: float) -> AsyncIterator[JsonObject]:
        """Records of all changes of some projects that were updated in the last ``since_s`` seconds, each once.

        They are as ``gerrit query`` prints them; what was given before an error stays true.
        """
        ...

    async def list_refs(self, project: str) -> dict[str, str]:
        """Full names of branches and tags, and their revisions."""
        ...

    async def post_review(self, review: Review, *, first_tried_at: float | None = None) -> Delivery:
        """Post a review and tell what became of it.

        ``first_tried_at`` (seconds since the epoch) marks a repeat: then the change's messages are read first, and
        what has arrived meanwhile is not sent again.
        """
        ...

    async def close(self) -> None: ...

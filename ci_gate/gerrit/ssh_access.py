"""Queries and reviews over SSH; what SSH does not show of submit requirements is asked over HTTP, without a login."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit import missed, query, refs
from ci_gate.gerrit.commands import CommandPool
from ci_gate.gerrit.events import JsonObject
from ci_gate.gerrit.peer import Peer
from ci_gate.gerrit.requirements import PublicRequirements, Readiness, with_readiness
from ci_gate.gerrit.review import post_review
from ci_gate.model.change import ChangeDetails
from ci_gate.model.report import Delivery, Review
from ci_gate.model.search import Search


class SshAccess:
    """A ``GerritAccess``."""

    def __init__(self, settings: GerritSettings, may_send: Callable[[], bool] = lambda: True) -> None:
        self.settings = settings
        self.pool = CommandPool(settings, may_send)
        self._requirements = PublicRequirements(settings, self.pool.pace)

    @property
    def peer(self) -> Peer:
        return self.pool

    async def query_change(self, number: str, *, readiness: bool = False) -> ChangeDetails | None:
        found = await query.query_change(self.pool, number)
        if found is None or not readiness:
            return found

        async def submittable() -> set[str]:
            return {found.number} if await query.is_submittable(self.pool, found.number) else set()

        return (await self._with_readiness((found,), submittable))[0]

    async def search_changes(self, search: Search, *, readiness: bool = False) -> tuple[ChangeDetails, ...]:
        found = await query.search_changes(self.pool, search)
        if not found or not readiness:
            return found
        return await self._with_readiness(found, lambda: query.submittable_changes(self.pool, query.terms_of(search)))

    def updated_changes(self, projects: Sequence[str], since_s: float) -> AsyncIterator[JsonObject]:
        async def ask(terms: str, start: int) -> query.Page:
            options = f"{missed.OPTIONS} --start {start}" if start else missed.OPTIONS
            return await query.query(self.pool, terms, options)

        return missed.updated_changes(ask, projects, since_s)

    async def list_refs(self, project: str) -> dict[str, str]:
        return await refs.list_refs(self.pool, project)

    async def post_review(self, review: Review, *, first_tried_at: float | None = None) -> Delivery:
        return await post_review(self.pool, review, first_tried_at=first_tried_at)

    async def close(self) -> None:
        await self.pool.close()
        await self._requirements.close()

    async def _with_readiness(
        self, found: tuple[ChangeDetails, ...], ask: Callable[[], Awaitable[set[str]]]
    ) -> tuple[ChangeDetails, ...]:
        """Rules (a), (b) and (c) of gerrit-wire.md 4.6: by records, by requirements, and else yes or not yes."""
        if await query.records_decide(self.pool):
            return found
        known = await self._requirements.of([each.number for each in found])
        unknown = [each for each in found if each.number not in known]
        submittable = await ask() if unknown else set()
        readiness = {number: Readiness(None, number in submittable) for number in (each.number for each in unknown)}
        readiness |= known
        return tuple(with_readiness(each, readiness[each.number]) for each in found)

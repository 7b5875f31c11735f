"""Queries and listings over REST, for connections with an HTTP password (gerrit-wire.md 9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit import events_log, missed, requirements
from ci_gate.gerrit.commands import NotSentError, OutcomeUnknownError
from ci_gate.gerrit.events import JsonObject
from ci_gate.gerrit.peer import Peer
from ci_gate.gerrit.query import (
    QUERY_S,
    SUBMIT_REQUIREMENTS_SINCE,
    Page,
    QueryFailedError,
    search_all,
    terms_of,
    terms_of_change,
    version_of,
)
from ci_gate.gerrit.refs import LISTING_S, PREFIXES
from ci_gate.gerrit.requirements import Readiness, readiness_of, with_readiness
from ci_gate.gerrit.rest import Query, RestSession, in_path
from ci_gate.gerrit.rest_records import row_of
from ci_gate.gerrit.rest_review import post_review
from ci_gate.model.change import ChangeDetails
from ci_gate.model.report import Delivery, Review
from ci_gate.model.search import Search

OPTIONS = (
    *("CURRENT_REVISION", "ALL_REVISIONS", "ALL_COMMITS", "ALL_FILES"),
    *("DETAILED_LABELS", "DETAILED_ACCOUNTS", "SUBMITTABLE"),
)
OPTIONS_OF_MISSED = ("CURRENT_REVISION", "ALL_REVISIONS", "DETAILED_LABELS", "DETAILED_ACCOUNTS", "MESSAGES")
LISTED = ("branches", "tags")
UNKNOWN_OPTION = "not a valid value"

NONSENSE = (AttributeError, KeyError, TypeError, ValueError)


class RestAccess:
    """A ``GerritAccess``."""

    def __init__(self, settings: GerritSettings, may_send: Callable[[], bool] = lambda: True) -> None:
        self.settings = settings
        self.session = RestSession(settings, may_send)
        self._version: tuple[int, int] | None = None

    @property
    def peer(self) -> Peer:
        return self.session

    async def query_change(self, number: str, *, readiness: bool = False) -> ChangeDetails | None:
        found = await self._find(terms_of_change(number), readiness=readiness)
        return found[0] if found else None

    async def search_changes(self, search: Search, *, readiness: bool = False) -> tuple[ChangeDetails, ...]:
        return await self._find(terms_of(search), readiness=readiness)

    def updated_changes(self, projects: Sequence[str], since_s: float) -> AsyncIterator[JsonObject]:
        async def ask(terms: str, start: int) -> Page:
            infos, more = await self._changes(terms, OPTIONS_OF_MISSED, start)
            texts = await asyncio.gather(*(self._comments(each) for each in infos))
            return self._page(infos, more, comments=texts)

        return missed.updated_changes(ask, projects, since_s)

    async def list_refs(self, project: str) -> dict[str, str]:
        found = {}
        for kind in LISTED:
            path = f"projects/{in_path(project)}/{kind}/"
            listed = await self._asked(path, deadline_s=LISTING_S, for_good=(400, 403, 404))
            if not isinstance(listed, list):
                raise QueryFailedError(f"an answer that is not a list of {kind}", transient=True)
            for each in listed:
                ref, revision = str(each.get("ref", "")), each.get("revision")
                if ref.startswith(PREFIXES) and revision is not None:
                    found[ref] = str(revision)
        return found

    async def post_review(self, review: Review, *, first_tried_at: float | None = None) -> Delivery:
        return await post_review(self.session, review, first_tried_at=first_tried_at)

    async def logged_events(self, since: float, until: float) -> list[JsonObject]:
        """Of the events-log plugin, between two times of Gerrit's clock. Raises EventsLogError."""

        async def fetch(path: str) -> tuple[int, str]:
            try:
                answer = await self.session.get(path, deadline_s=QUERY_S)
            except (NotSentError, OutcomeUnknownError) as problem:
                raise OSError(str(problem)) from problem
            return answer.status, answer.text

        return await events_log.logged_events(fetch, since, until)

    async def close(self) -> None:
        await self.session.close()

    # --- changes ---

    async def _find(self, terms: str, *, readiness: bool) -> tuple[ChangeDetails, ...]:
        decided_by_more = readiness and not await self._records_decide()
        wanted = requirements.OPTIONS if decided_by_more else ()
        known: dict[str, Readiness] = {}

        async def ask(terms: str, start: int) -> Page:
            infos, more = await self._changes(terms, (*OPTIONS, *wanted), start)
            known.update((str(each["_number"]), _readiness_of(each)) for each in infos)
            return self._page(infos, more, related=await asyncio.gather(*map(self._related, infos)))

        try:
            found = await search_all(ask, terms, self.settings.name)
        except QueryFailedError as problem:
            if problem.transient or UNKNOWN_OPTION not in str(problem):
                raise
            wanted = ()  # a server that does not say how old it is, and knows no such option
            found = await search_all(ask, terms, self.settings.name)
        return tuple(with_readiness(each, known[each.number]) for each in found) if decided_by_more else found

    async def _records_decide(self) -> bool:
        """Is the server older than submit requirements? What cannot be told counts as newer."""
        if self._version is None:
            said = await self._asked("config/server/version", for_good=(404,), instead="")
            self._version = version_of(str(said))
        return self._version < SUBMIT_REQUIREMENTS_SINCE

    async def _changes(self, terms: str, options: Collection[str], start: int) -> tuple[list[JsonObject], bool]:
        asked: list[tuple[str, str | int]] = [("q", terms), *(("o", each) for each in dict.fromkeys(options))]
        infos = await self._asked("changes/", [*asked, ("S", start)] if start else asked)
        if not isinstance(infos, list) or not all(isinstance(each, dict) and "_number" in each for each in infos):
            raise QueryFailedError("an answer that is not a list of changes", transient=True)
        return infos, bool(infos and infos[-1].get("_more_changes", False))

    def _page(self, infos: Sequence[JsonObject], more: bool, **parts: Sequence[Any]) -> Page:
        try:
            page = Page(
                row_of(info, self.settings.baseurl, **{name: each[at] for name, each in parts.items()})
                for at, info in enumerate(infos)
            )
        except NONSENSE as problem:
            reason = f"an answer that makes no sense: {type(problem).__name__}: {problem}"
            raise QueryFailedError(reason, transient=True) from problem
        page.more = more
        return page

    async def _related(self, info: JsonObject) -> list[JsonObject]:
        """Git parents and children among changes."""
        if not info.get("current_revision"):
            return []
        path = f"{path_of(info['project'], info['_number'])}/revisions/{info['current_revision']}/related"
        found = await self._asked(path, for_good=(404,), instead={})
        changes = found.get("changes") if isinstance(found, dict) else None
        return [each for each in changes or () if isinstance(each, dict)]

    async def _comments(self, info: JsonObject) -> JsonObject:
        """Texts that Gerrit keeps apart from messages; asked for only if there are such."""
        if not any(missed.COUNT_OF_COMMENTS.search(str(each.get("message"))) for each in info.get("messages") or ()):
            return {}
        found = await self._asked(f"{path_of(info['project'], info['_number'])}/comments", for_good=(404,), instead={})
        return found if isinstance(found, dict) else {}

    async def _asked(
        self,
        path: str,
        query: Query = (),
        *,
        deadline_s: float = QUERY_S,
        for_good: Collection[int] = (400,),
        instead: object = None,
    ) -> Any:
        """The answer, decoded; ``instead`` (if there is one) stands for an answer that will stay the same.

        Raises QueryFailedError: what is certainly not there is no reason to ask again, but a proxy's or an account's
        trouble passes, and no event may be lost to it.
        """
        try:
            answer = await self.session.get(path, query, deadline_s=deadline_s)
        except (NotSentError, OutcomeUnknownError) as problem:
            raise QueryFailedError(str(problem), transient=True) from problem
        if not answer.is_good:
            if answer.status in for_good and instead is not None:
                return instead
            raise QueryFailedError(answer.reason, transient=answer.status not in for_good)
        try:
            return answer.data()
        except ValueError:
            text = f"{self.settings.baseurl} does not answer as Gerrit does; is baseurl right? {answer.reason[:80]}"
            raise QueryFailedError(text, transient=True) from None


def path_of(project: str, number: str | int) -> str:
    """Of a change; with its project Gerrit need not look into its index."""
    return f"changes/{in_path(project)}~{number}"


def _readiness_of(info: JsonObject) -> Readiness:
    try:
        return readiness_of(info)
    except NONSENSE as problem:
        raise QueryFailedError(f"submit requirements that make no sense: {problem}", transient=True) from problem

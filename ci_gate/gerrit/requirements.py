"""Submit requirements, as REST shows them; to those without a login too, of public changes (gerrit-wire.md 4.6)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.batching import Batching
from ci_gate.gerrit.commands import NotSentError, OutcomeUnknownError
from ci_gate.gerrit.events import JsonObject
from ci_gate.gerrit.pace import Pace
from ci_gate.gerrit.rest import RestSession
from ci_gate.model.change import AtomsSeen, ChangeDetails, SubmitRequirement, decimal_text

OPTIONS = ("SUBMITTABLE", "SUBMIT_REQUIREMENTS")
PUBLIC_S = 5.0  # SSH waits for it
PAUSE_S = 300.0
REMEDY = "set baseurl and password, or give gates require: {approval: …}"
SHORT_PAUSE_S = 30.0  # of a server that has answered before

log = structlog.stdlib.get_logger("zuul.GerritConnection")


@dataclass(frozen=True, slots=True)
class Readiness:
    """``requirements`` None: the server did not show any. ``is_submittable``: as it is, our own vote included."""

    requirements: tuple[SubmitRequirement, ...] | None
    is_submittable: bool


def readiness_of(info: JsonObject) -> Readiness:
    """Raises AttributeError, KeyError or TypeError for nonsense."""
    found = info.get("submit_requirements")
    requirements = None if found is None else tuple(_requirement(each) for each in found)
    return Readiness(requirements, bool(info.get("submittable", False)))


def _requirement(found: JsonObject) -> SubmitRequirement:
    return SubmitRequirement(
        str(found["name"]),
        str(found.get("status", "")),
        bool(found.get("is_legacy", False)),
        _atoms(found.get("submittability_expression_result")),
        _atoms(found.get("override_expression_result")),
    )


def _atoms(found: JsonObject | None) -> AtomsSeen | None:
    """Gerrit leaves expressions out that are not ours to see."""
    if not found or found.get("expression") is None:
        return None
    return AtomsSeen(str(found["expression"]), tuple(str(each) for each in found.get("passing_atoms") or ()))


def with_readiness(found: ChangeDetails, known: Readiness) -> ChangeDetails:
    """Of a server that has submit requirements."""
    return replace(
        found,
        records_decide=False,
        submit_requirements=known.requirements,
        is_submittable=known.is_submittable,
    )


class PublicRequirements:
    """Asks without a login. A server that does not answer so is left alone for some minutes."""

    def __init__(self, settings: GerritSettings, pace: Pace | None = None) -> None:
        """``pace``: that of other questions to the same Gerrit."""
        self._session = RestSession(replace(settings, password=None))
        if pace is not None:
            self._session.pace = pace
        self._batching = Batching(self._ask)
        self._name = settings.name
        self._again_at = 0.0
        self._has_worked = False
        self._told = ""

    async def of(self, numbers: Iterable[str]) -> dict[str, Readiness]:
        """By change number; those that the public cannot see are left out."""
        if time.monotonic() < self._again_at:
            return {}
        try:
            records = await asyncio.gather(*map(self._batching.record_of, numbers))
            shown = {decimal_text(each["_number"]): readiness_of(each) for each in records if each is not None}
        except (NotSentError, OutcomeUnknownError) as problem:
            return self._cannot(str(problem))
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            return self._cannot(f"not Gerrit's answer: {problem}")
        self._has_worked = True
        self._told = ""
        return {number: readiness for number, readiness in shown.items() if readiness.requirements is not None}

    async def close(self) -> None:
        await self._session.close()

    async def _ask(self, terms: Callable[[], str]) -> tuple[list[JsonObject], bool]:
        def query() -> list[tuple[str, str]]:
            return [("q", terms()), *(("o", each) for each in OPTIONS)]

        answer = await self._session.get("changes/", query, deadline_s=PUBLIC_S)
        if not answer.is_good:
            raise ValueError(answer.reason)
        infos: list[JsonObject] = [{**each, "number": each["_number"]} for each in answer.data()]
        return infos, bool(infos and infos[-1].get("_more_changes", False))

    def _cannot(self, reason: str) -> dict[str, Readiness]:
        self._again_at = time.monotonic() + (SHORT_PAUSE_S if self._has_worked else PAUSE_S)
        if reason != self._told:
            self._told = reason
            log.warning(
                "Gerrit's submit requirements cannot be seen: a change that lacks a vote may enter a gate, "
                "and Gerrit will refuse to submit it",
                connection=self._name,
                reason=reason,
                remedy=REMEDY,
            )
        return {}

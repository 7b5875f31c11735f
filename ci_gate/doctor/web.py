"""Gerrit's web address, asked with the service's own client: with the HTTP password if there is one."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from ci_gate.config.settings import GerritSettings
from ci_gate.doctor.check import UnansweredError
from ci_gate.doctor.running import Once
from ci_gate.gerrit.commands import NotSentError, OutcomeUnknownError
from ci_gate.gerrit.events import JsonObject
from ci_gate.gerrit.rest import Answer, PasswordRefusedError, Query, RestSession

ANSWER_S = 8.0
SHOWN = 80  # characters of an answer that is not understood


class PasswordError(UnansweredError):
    """The HTTP password is refused."""


@dataclass(frozen=True, slots=True)
class Version:
    """``ahead_s``: how far the server's clock is ahead of ours, to a second; None if it does not tell."""

    text: str
    ahead_s: float | None


class Web:
    """``close`` it in the end."""

    def __init__(self, gerrit: GerritSettings) -> None:
        # Few seconds and ``max_ssh_channels`` are limits enough: by the budget large sites would not be done in time.
        self._session = RestSession(replace(gerrit, commands_per_minute=0))
        self._baseurl = gerrit.baseurl
        self.user = self._session.user
        self.version = Once(self._version)

    async def ask(self, path: str, query: Query = ()) -> object:
        """The answer, decoded. Raises UnansweredError.

        The version is asked for first: a password that is wrong is tried once, lest the account be locked.
        """
        await self.version()
        return self._decoded(await self._get(path, query), path)

    async def close(self) -> None:
        await self._session.close()

    async def _version(self) -> Version:
        asked_at = time.time()
        answer = await self._get("config/server/version")
        text = str(self._decoded(answer, "config/server/version"))
        return Version(text, _ahead(answer.date, (asked_at + time.time()) / 2))

    async def _get(self, path: str, query: Query = ()) -> Answer:
        try:
            answer = await self._session.get(path, query, deadline_s=ANSWER_S)
        except PasswordRefusedError as problem:
            raise PasswordError(f"the HTTP password of {self.user} is not accepted at {self._baseurl}") from problem
        except (NotSentError, OutcomeUnknownError) as problem:
            what, _, fix = str(problem).partition("; ")
            raise UnansweredError(what if self._baseurl in what else f"{self._baseurl}: {what}", fix) from problem
        if not answer.is_good:
            said = f"{self._baseurl}/{path} answers with status {answer.status}: {answer.reason[:SHOWN]}"
            raise UnansweredError(said)
        return answer

    def _decoded(self, answer: Answer, path: str) -> object:
        try:
            return answer.data()
        except ValueError:
            said = f"{self._baseurl}/{path} does not answer as Gerrit does; is it Gerrit's web address?"
            raise UnansweredError(said) from None


def records(answer: object) -> list[JsonObject]:
    """Those of a list; none of nonsense."""
    return [each for each in answer if isinstance(each, dict)] if isinstance(answer, list) else []


def _ahead(date: str, at: float) -> float | None:
    """The header counts whole seconds: what is less than one is none."""
    try:
        ahead = parsedate_to_datetime(date).timestamp() - at
    except ValueError:
        return None
    return 0.0 if -1 <= ahead <= 0 else ahead

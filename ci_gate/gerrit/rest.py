"""HTTP to Gerrit's REST API: one kept session for each connection, a few requests at a time, each with a deadline.

A password goes nowhere but to ``baseurl``: redirects are not followed, and cookies not kept. When Gerrit asks to come
back later nothing is sent before, and nothing for some minutes after it has refused the password.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import structlog

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.attempts import ACCOUNT_PAUSE_S
from ci_gate.gerrit.commands import NotSentError, OutcomeUnknownError
from ci_gate.gerrit.peer import Peer

CONNECT_S = 15.0
LONGEST_PAUSE_S = 300.0
MOST_ANSWER = 64 * 1024 * 1024
MAGIC = ")]}'"
SHOWN = 500  # characters of an answer that is not understood
AGAIN_LATER = (412, 429)

Query = Iterable[tuple[str, str | int]]

log = structlog.stdlib.get_logger("zuul.GerritConnection")


@dataclass(frozen=True, slots=True)
class Answer:
    """``text`` is without the line that keeps browsers from running it; ``date`` is what the server's clock says."""

    status: int
    text: str
    date: str = ""

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def may_pass(self) -> bool:
        """Asking again later may help, whatever was asked."""
        return self.status in AGAIN_LATER or self.status >= 500

    @property
    def reason(self) -> str:
        """What it says, for people: one line."""
        return " ".join(self.text.split())[:SHOWN] or f"HTTP status {self.status}"

    def data(self) -> Any:
        """Raises ValueError."""
        return json.loads(self.text) if self.text.strip() else None


class RestSession(Peer):
    """Used on the loop's thread.

    Without ``password`` it asks as anybody may.
    """

    def __init__(self, settings: GerritSettings, may_send: Callable[[], bool] = lambda: True) -> None:
        self.user = settings.http_user or settings.user
        super().__init__(settings, may_send, user=self.user)
        self._login: dict[str, str] = {}
        if settings.password is not None:
            login = base64.b64encode(f"{self.user}:{settings.password}".encode()).decode()
            self._login["Authorization"] = f"Basic {login}"
        self._session: aiohttp.ClientSession | None = None
        self._silent_until = 0.0  # by the monotonic clock
        self._why_silent = HeldError()

    async def get(self, path: str, query: Query | Callable[[], Query] = (), *, deadline_s: float) -> Answer:
        """Raises NotSentError or OutcomeUnknownError: neither matters, since nothing was to be changed.

        The deadline counts from the moment when the request's turn has come, upon which a ``query`` that is a function
        is asked for.
        """
        async with self.turn(urgent=False) as begun:
            ends_at = begun + deadline_s
            wanted = query() if callable(query) else query
            try:
                return await self._request("GET", path, wanted, None, ends_at)
            except (NotSentError, OutcomeUnknownError) as problem:
                # A connection that was kept may have died unnoticed: that is worth a second try.
                if isinstance(problem, HeldError) or time.monotonic() >= ends_at:
                    raise
                return await self._request("GET", path, wanted, None, ends_at)

    async def post(self, path: str, body: object, *, deadline_s: float) -> Answer:
        """Before all that is only asked. Raises NotSentError or OutcomeUnknownError; never sent twice."""
        async with self.turn(urgent=True) as begun:
            return await self._request("POST", path, (), body, begun + deadline_s)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _request(self, method: str, path: str, query: Query, body: object, ends_at: float) -> Answer:
        await self._until_wanted(ends_at)
        url = self._url(path, query)
        if not self.may_send():
            raise HeldError("this service cannot tell whether it still leads")
        try:
            async with (
                asyncio.timeout(max(0.0, ends_at - time.monotonic())),
                self._connected().request(
                    method, url, json=body, headers=self._login, allow_redirects=False
                ) as response,
            ):
                answer = Answer(response.status, await _text_of(response), response.headers.get("Date", ""))
                pause = response.headers.get("Retry-After")
                target = response.headers.get("Location", "")
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as problem:  # of which only connecting has
            raise NotSentError(f"cannot reach Gerrit at {self.settings.baseurl}: {_words(problem)}") from problem
        except TimeoutError:
            raise OutcomeUnknownError("no answer within the deadline") from None
        except aiohttp.InvalidURL as problem:
            raise NotSentError(f"baseurl {self.settings.baseurl} is not an address") from problem
        except (aiohttp.ClientError, OSError) as problem:
            raise OutcomeUnknownError(f"the connection broke: {_words(problem)}") from problem
        self._heed(answer, pause, target)
        return answer

    async def _until_wanted(self, ends_at: float) -> None:
        """Wait as long as Gerrit asked to. Raises HeldError if that is longer than the deadline."""
        left = self._silent_until - time.monotonic()
        if left <= 0:
            return
        if time.monotonic() + left >= ends_at:
            raise type(self._why_silent)(f"{self._why_silent}; asked again in {left:.0f} s")
        await asyncio.sleep(left)

    def _heed(self, answer: Answer, pause: str | None, target: str) -> None:
        """Raises HeldError for answers that mean nothing was done, and that nothing will be for some time."""
        if answer.status == 401 and self._login:
            why = f"Gerrit at {self.settings.baseurl} does not take the HTTP password of user {self.user}"
            mend = "make a new one there (Settings, HTTP credentials) and set password"
            self._hold(PasswordRefusedError(f"{why}; {mend}"), ACCOUNT_PAUSE_S)
        if 300 <= answer.status < 400:
            raise NotSentError(f"{self.settings.baseurl} sends us to {target or 'another address'}; set baseurl to it")
        if answer.may_pass and pause is not None:
            seconds = _seconds(pause)
            if seconds:
                why_later = HeldError(f"Gerrit asks to come back later: {answer.reason}")
                self._hold(why_later, min(seconds, LONGEST_PAUSE_S))

    def _hold(self, why: HeldError, pause_s: float) -> None:
        log.error("no requests for a while", connection=self.settings.name, reason=str(why), seconds=round(pause_s, 1))
        self._silent_until, self._why_silent = time.monotonic() + pause_s, why
        raise type(why)(f"{why}; asked again in {pause_s:.0f} s")

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                headers={"Accept": "application/json"},
            )
        return self._session

    def _url(self, path: str, query: Query) -> str:
        """``/a/`` is where Gerrit asks for a login."""
        asked = urlencode(list(query))
        prefix = "/a" if self._login else ""
        return f"{self.settings.baseurl}{prefix}/{path}" + (f"?{asked}" if asked else "")


class HeldError(NotSentError):
    """Gerrit has asked not to be asked for a while."""


class PasswordRefusedError(HeldError):
    """It does not take the HTTP password."""


async def _text_of(response: aiohttp.ClientResponse) -> str:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MOST_ANSWER:
            raise OutcomeUnknownError(f"the answer is longer than {MOST_ANSWER} bytes")
        chunks.append(chunk)
    return b"".join(chunks).decode("utf-8", errors="replace").removeprefix(MAGIC)


def _seconds(pause: str) -> float | None:
    """``Retry-After``: seconds, or a date."""
    if pause.strip().isdecimal():
        return float(pause)
    try:
        until = parsedate_to_datetime(pause)
    except ValueError:
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _words(problem: BaseException) -> str:
    return str(problem) or type(problem).__name__


def in_path(text: str) -> str:
    """A project or the like as one part of a path."""
    return quote(text, safe="")

"""The few questions that only Gerrit's web address answers: by GET, with the HTTP password if there is one.

A small client of its own, so that another can take its place: nothing else in this package speaks HTTP to Gerrit.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from ci_gate.config.settings import GerritSettings

ANSWER_S = 8.0
LARGEST_ANSWER = 16 * 2**20
PREFIX = b")]}'"


class RestError(Exception):
    """No answer, or none that helps; ``status`` 0 if there was none at all."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """``ahead_s``: how far the server's clock is ahead of ours, to a second; None if it does not tell."""

    value: Any
    ahead_s: float | None


async def get(gerrit: GerritSettings, path: str, **query: str) -> RestAnswer:
    """``path`` below ``baseurl``; below its ``/a/``, with name and password, where there is a password.

    Raises RestError. The password goes nowhere but to ``baseurl``: redirects are not followed.
    """
    headers = {}
    if gerrit.password is not None:
        account = f"{gerrit.http_user or gerrit.user}:{gerrit.password}"
        headers["Authorization"] = f"Basic {base64.b64encode(account.encode()).decode()}"
        path = f"a/{path}"
    address = f"{gerrit.baseurl}/{path}"
    asked_at = time.time()
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.get(address, params=query, allow_redirects=False) as answer,
        ):
            body = await answer.content.read(LARGEST_ANSWER)
            while more := await answer.content.read(LARGEST_ANSWER - len(body)):
                body += more
            status, date = answer.status, answer.headers.get("Date")
    except TimeoutError:
        raise RestError(f"{gerrit.baseurl} does not answer within {ANSWER_S:g} s") from None
    except aiohttp.ClientConnectorError as problem:
        raise RestError(f"{gerrit.baseurl} cannot be reached: {problem.os_error.strerror or problem}") from problem
    except (aiohttp.ClientError, OSError, ValueError) as problem:
        raise RestError(f"{gerrit.baseurl}: {problem}") from problem
    if status != 200:
        raise RestError(f"{address} answers with status {status}", status)
    try:
        value = json.loads(body.removeprefix(PREFIX))
    except ValueError:
        raise RestError(f"{address} does not answer as Gerrit does; is it Gerrit's web address?", status) from None
    return RestAnswer(value, _ahead(date, (asked_at + time.time()) / 2))


def _ahead(date: str | None, at: float) -> float | None:
    """The header counts whole seconds: what is less than one is none."""
    try:
        told = parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
    if told is None:
        return None
    ahead = told - at
    return 0.0 if -1 <= ahead <= 0 else ahead

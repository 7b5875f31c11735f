"""One request to Jenkins through python-jenkins, in a thread, and what its status means (gearman-jenkins.md 13).

python-jenkins has no time-out by default, follows redirects to login pages, keeps a crumb for ever and throws 401, 403
and 500 together: here each is put right. It is used for its session, authentication and crumbs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import jenkins
import requests

from ci_gate.config.settings import JenkinsSettings
from ci_gate.jenkins.secrets import TokenError, token_of

TIMEOUT_S = 10.0  # to connect, and between two pieces of an answer
ANSWER_S = 30.0  # for a whole answer
AT_A_TIME = 5
LARGEST_ANSWER = 64 * 2**20
PIECE = 65536
LOGIN_PAGES = ("/login", "/securityRealm/commenceLogin", "/loginEntry")
BUSY = frozenset({408, 425, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """``at`` is Jenkins' own time of the answer, in seconds since the epoch, if it said so; ``session`` changes when
    Jenkins starts again."""

    status: int
    body: bytes
    location: str = ""
    at: float | None = None
    session: str | None = None


class JenkinsError(Exception):
    """A request that failed; the text is for the log."""


class BusyError(JenkinsError):
    """Not there, restarting, overloaded: says nothing about builds. Trying again later helps."""


class RefusedError(JenkinsError):
    """The credentials are not accepted, or do not allow it."""


class MissingError(JenkinsError):
    """There is no such thing, or it may not be seen."""


class DisabledError(JenkinsError):
    """The job is disabled."""


class BadRequestError(JenkinsError):
    """Jenkins does not take these parameters."""


class BrokenError(JenkinsError):
    """An error inside Jenkins or a plugin."""


class _StatusError(Exception):
    """Passes through python-jenkins, which blurs the errors that it knows."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.text = text


class Http:
    """Requests to one Jenkins, at most ``AT_A_TIME`` of them at once. ``count`` is how many were sent."""

    def __init__(self, settings: JenkinsSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(AT_A_TIME, f"jenkins-{settings.name}")
        self._session: _Session | None = None
        self._lock = threading.Lock()
        self.count = 0

    async def get(self, path: str, tree: str) -> Answer:
        """``path`` below Jenkins' address. Raises a JenkinsError."""
        place = f"{path}/api/json" if path else "api/json"
        return await self._call(lambda session: session.ask("GET", place, query={"tree": tree}))

    async def get_text(self, path: str) -> str:
        answer = await self._call(lambda session: session.ask("GET", path))
        return answer.body.decode("utf-8")

    async def post(
        self, path: str, form: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None
    ) -> Answer:
        return await self._call(lambda session: session.ask("POST", path, query=query, form=form))

    async def post_xml(self, path: str, text: str) -> Answer:
        return await self._call(lambda session: session.ask("POST", path, xml=text.encode("utf-8")))

    def renew(self) -> None:
        """Read the token anew for the next request."""
        with self._lock:
            self._session = None

    def close(self) -> None:
        """Does not wait for requests under way; they end by their deadlines."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, call: Callable[[_Session], Answer]) -> Answer:
        self.count += 1
        try:
            async with asyncio.timeout(ANSWER_S + 2 * TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, call)
        except TimeoutError:
            raise BusyError(f"no answer within {ANSWER_S:g} s") from None

    def _ask(self, call: Callable[[_Session], Answer]) -> Answer:
        """In a thread."""
        try:
            with self._lock:
                self._session = self._session or _Session(self._settings)
                session = self._session
            return call(session)
        except TokenError as problem:
            raise RefusedError(str(problem)) from problem
        except _StatusError as problem:
            raise _meaning(problem) from problem
        except jenkins.JenkinsException as problem:
            raise BusyError(f"{self._settings.url}: {problem}") from problem
        except requests.exceptions.SSLError as problem:
            raise RefusedError(f"{self._settings.url}: its TLS certificate is not trusted: {problem}") from problem
        except (requests.RequestException, OSError, ValueError) as problem:
            raise BusyError(f"{self._settings.url}: {problem}") from problem


class _Session(jenkins.Jenkins):
    """Used by several threads. What it raises is its own, requests' or python-jenkins'."""

    _session: requests.Session  # made by python-jenkins, whose stubs leave it out

    def __init__(self, settings: JenkinsSettings) -> None:
        super().__init__(settings.url, settings.user, token_of(settings), timeout=int(TIMEOUT_S))
        self._session.verify = str(settings.ca_file) if settings.ca_file else True
        self._session.trust_env = False  # neither netrc nor PYTHONHTTPSVERIFY nor a proxy comes in by the environment
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=AT_A_TIME)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        xml: bytes | None = None,
    ) -> Answer:
        headers = {"Content-Type": "text/xml; charset=utf-8"} if xml is not None else {}

        def once() -> Answer:
            data = xml if xml is not None else form
            request = requests.Request(method, f"{self.server}{path}", params=query, data=data, headers=dict(headers))
            return _read(self.jenkins_request(request, add_crumb=method == "POST", stream=True))

        try:
            return once()
        except _StatusError as problem:
            if problem.status != 403 or "crumb" not in problem.text.lower():
                raise
            self.crumb = None  # it was of a session that has ended
            return once()

    def maybe_add_crumb(self, req: requests.Request) -> None:
        """python-jenkins knows a missing crumb issuer by an exception of its own only."""
        if self.crumb is None:
            try:
                answer = self.jenkins_request(
                    requests.Request("GET", f"{self.server}crumbIssuer/api/json"), add_crumb=False
                )
                self.crumb = answer.json()
            except _StatusError as problem:
                if problem.status != 404:
                    raise
                self.crumb = False  # the protection is off
        crumb = self.crumb
        if isinstance(crumb, dict):
            req.headers[crumb["crumbRequestField"]] = crumb["crumb"]

    def _request(self, req: requests.Request, stream: bool | None = None) -> requests.Response:
        prepared = self._session.prepare_request(req)
        return self._session.send(
            prepared, stream=stream, timeout=self.timeout, allow_redirects=False, verify=self._session.verify
        )

    def _response_handler(self, response: requests.Response) -> requests.Response:
        login = response.is_redirect and any(page in response.headers.get("Location", "") for page in LOGIN_PAGES)
        if response.status_code >= 400 or login:
            raise _StatusError(401 if login else response.status_code, _text_of(response))
        return response


def _text_of(response: requests.Response) -> str:
    """Of an error page; some are labelled as compressed and are not."""
    try:
        return response.text[:PIECE]
    except (requests.RequestException, OSError):
        return ""


def _read(response: requests.Response) -> Answer:
    """The whole answer, within its time and size."""
    ends_at = time.monotonic() + ANSWER_S
    pieces, size = [], 0
    with response:
        for piece in response.iter_content(PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_ANSWER:
                raise OSError(f"an answer of more than {LARGEST_ANSWER} bytes")
            if time.monotonic() > ends_at:
                raise OSError(f"no whole answer within {ANSWER_S:g} s")
    headers = response.headers
    return Answer(
        response.status_code,
        b"".join(pieces),
        location=headers.get("Location", ""),
        at=_time_of(headers.get("Date")),
        session=headers.get("X-Jenkins-Session"),
    )


def _time_of(date: Any) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None


def _meaning(problem: _StatusError) -> JenkinsError:
    status = problem.status
    text = f"Jenkins answered {status}"
    if status in (401, 403):
        return RefusedError(f"{text}: the user, its token or its permissions")
    if status == 404:
        return MissingError(text)
    if status in (405, 409):
        return DisabledError(text)
    if status in BUSY:
        return BusyError(text)
    if status >= 500:
        return BrokenError(text)
    return BadRequestError(text)

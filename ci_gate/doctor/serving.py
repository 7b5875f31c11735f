"""Checks of what we serve: does the service run, is its port its own, and do workers get merged refs by zuul_url?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import aiohttp

from ci_gate.doctor.check import Finding, Mark, Step, good, not_tried, unknown, wrong
from ci_gate.doctor.ports import what_is_in_the_way
from ci_gate.doctor.running import Once
from ci_gate.doctor.site import Site
from ci_gate.merger.names import UnsafeNameError, repository_path

GROUP = "Service"
SOCKET = "admin.sock"
ANSWER_S = 6.0
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  # compared with, not listened at
LARGEST_ANSWER = 64 * 2**20
TROUBLE = (OSError, aiohttp.ClientError, TimeoutError, ValueError)
ADVERTISEMENT = b"001e# service=git-upload-pack\n"


class Service:
    """The service of the configuration, which may run or not."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._asked = Once(self._ask)

    async def runs(self) -> bool:
        """Does it hold its socket? Whether it answers there is another question."""
        return (await self._asked()).mark is not Mark.NOT_TRIED

    @property
    def address(self) -> str:
        """Of its pages, from this machine."""
        settings = self._site.settings.web
        host = "127.0.0.1" if settings.listen_address in EVERYWHERE else settings.listen_address
        return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/"

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body. Raises one of ``TROUBLE``."""
        return await _get(f"{self.address}{path}")

    def steps(self) -> Iterator[Step]:
        yield Step(GROUP, "admin socket", self._asked)
        yield Step(GROUP, "status page", self._page)
        yield Step(GROUP, "zuul_url", self._refs)

    async def _ask(self) -> Finding:
        path = self._site.settings.state_dir / SOCKET
        writer = None
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(str(path), limit=LARGEST_ANSWER)
                writer.write(json.dumps({"command": "running-jobs"}).encode() + b"\n")
                answer = json.loads(await reader.readline())
        except (FileNotFoundError, ConnectionRefusedError):
            return not_tried("the service does not run; what only it could show is not tried")
        except PermissionError:
            return wrong(
                f"{path} is for the service's user and group only",
                "run this as that user, or as one of its group",
            )
        except TimeoutError:
            return wrong(
                f"the service does not answer at {path} within {ANSWER_S:g} s",
                "see its log; kill -USR2 its process puts into the log what it is doing",
            )
        except (OSError, ValueError) as problem:
            return wrong(f"{path}: {problem}", "see the service's log")
        finally:
            if writer is not None:
                writer.transport.abort()
        if not isinstance(answer, dict) or not answer.get("done"):
            return wrong(
                "the service does not answer as this version of ci-gate expects", "restart it after an upgrade"
            )
        return good("the service runs, and answers")

    async def _page(self) -> Finding:
        settings = self._site.settings.web
        if not await self.runs():
            taken = await what_is_in_the_way(settings.listen_address, settings.port, "[webapp] port")
            return taken or good(f"port {settings.port} is free")
        address = self.address
        try:
            status, body = await self.get("status.json")
            is_ours = status == 200 and "ci_gate" in json.loads(body)
            health, trouble = await self.get("healthz")
        except TROUBLE as problem:
            return wrong(f"{address} does not serve our status: {words(problem)}",
                         f"who listens there? ss -ltnp 'sport = :{settings.port}'; restart the service")  # fmt: skip
        if not is_ours:
            return wrong(
                f"{address} is somebody else's",
                f"find out whose: ss -ltnp 'sport = :{settings.port}'; restart the service",
            )
        if health != 200:
            return wrong(f"the service is in trouble: {trouble.decode(errors='replace').strip()}", "see its log")
        return good(address)

    async def _refs(self) -> Finding | None:
        """As workers fetch them, though from this machine."""
        settings = self._site.settings.merger
        if not settings.embedded or not settings.zuul_url:
            return None  # mergers elsewhere name addresses of their own
        url = settings.zuul_url.rstrip("/")
        host = urlsplit(url).hostname or ""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
        except OSError as problem:
            return wrong(
                f"{url}: the name {host} is not known: {problem.strerror}", "set [merger] zuul_url to our name"
            )
        only_here = all(_is_loopback(str(each[4][0])) for each in found)
        note = "; only workers on this machine reach it" if only_here else ""
        if not await self.runs():
            return not_tried(f"{url} is served by the service, which does not run{note}")
        project = await asyncio.to_thread(self._cloned)
        if project is None:
            return unknown(
                f"{url}: no project has been cloned yet that could be fetched{note}", "try after the first change"
            )
        address = f"{url}/{quote(project)}/info/refs"
        try:
            status, body = await _get(address, service="git-upload-pack")
        except TROUBLE as problem:
            return wrong(f"{url} cannot be reached: {words(problem)}", "set [merger] zuul_url to how workers reach us")
        if status != 200 or not body.startswith(ADVERTISEMENT):
            return wrong(
                f"{address} answers with status {status}, not as git",
                f"[merger] zuul_url has to end where merged refs begin: http://HOST:{self._site.settings.web.port}/p",
            )
        return good(f"{project} can be fetched from {url}{note}")

    def _cloned(self) -> str | None:
        layout = self._site.layout
        for name in layout.projects if layout else ():
            try:
                if repository_path(self._site.settings.merger.git_dir, name).is_dir():
                    return name
            except (UnsafeNameError, OSError):
                continue
        return None


async def _get(address: str, **query: str) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(address, params=query, allow_redirects=False) as answer,
    ):
        return answer.status, await answer.read()


def words(problem: Exception) -> str:
    """Of one of ``TROUBLE``."""
    return f"no answer within {ANSWER_S:g} s" if isinstance(problem, TimeoutError) else str(problem)


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")

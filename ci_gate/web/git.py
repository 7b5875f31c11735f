"""Merged states for workers: git's smart HTTP protocol, read-only, at ``/p/PROJECT`` (``spec/outputs.md`` 10).

Serves every repository below ``git_dir`` to anyone: branches, tags and ``refs/zuul``. The work is that of
``git upload-pack``; this module streams between it and the client, and ends it when the client is gone or its time is
over. Files for clients without the smart protocol come from ``git_files``. Knows nothing of what the refs mean.

By version 2 of the protocol a client names the refs that it wants, so that others cost it nothing, however many there
are. Versions 0 and 1 have no means for that: whoever speaks them is told of all, for a ref is fetched by its name only
if it was told.
"""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import hdrs, web

from ci_gate.merger.git import Git
from ci_gate.merger.names import UnsafeNameError, repository_path
from ci_gate.web.git_files import FILES, NOT_CACHED, list_refs, serve_file
from ci_gate.web.git_slots import Slots, end_when_gone, is_gone

UPLOAD_PACK = "git-upload-pack"

_CHUNK = 64 * 1024
_KEPT_OF_STDERR = 2000
_PROTOCOL = re.compile(r"[A-Za-z0-9=:._-]{1,100}")
_ESCAPED_SEPARATOR = re.compile(r"%(2e|2f|5c)", re.IGNORECASE)

log = structlog.stdlib.get_logger("zuul.WebApp")


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """How much of this machine clients get. Times are seconds: in the queue, without a byte, and in all."""

    at_once: int = 32
    waiting: int = 512
    queue_s: float = 60.0
    idle_s: float = 120.0
    transfer_s: float = 3600.0
    request_bytes: int = 32 * 1024 * 1024


def git_routes(git_dir: Path, prefix: str = "/p", limits: ServiceLimits | None = None) -> list[web.RouteDef]:
    """``ZUUL_URL`` is this prefix on this server. Projects may be written with ``/``, ``.git`` or ``/.git`` behind."""
    service = _GitService(git_dir.absolute(), limits or ServiceLimits())
    repository = prefix.rstrip("/") + "/{project:.+}"
    return [
        web.get(f"{repository}/info/refs", service.refs),
        web.post(f"{repository}/{UPLOAD_PACK}", service.upload_pack),
        web.post(f"{repository}/git-receive-pack", service.refuse_push),
        web.get(f"{repository}/{{file:{FILES}}}", service.file),
    ]


class _GitService:
    def __init__(self, git_dir: Path, limits: ServiceLimits) -> None:
        self._git_dir = git_dir
        self._limits = limits
        self._slots = Slots(limits.at_once, limits.waiting, limits.queue_s)

    # --- what clients ask for ---

    async def refs(self, request: web.Request) -> web.StreamResponse:
        """What there is, as the protocol in use tells it."""
        repository = await self._repository(request)
        service = request.query.get("service")
        if service is None:
            async with self._slots.hold(request):
                return await list_refs(repository)
        if service != UPLOAD_PACK:
            raise web.HTTPForbidden(text="read-only\n", headers=NOT_CACHED)
        preamble = b"" if "version=2" in _protocol(request).split(":") else b"001e# service=git-upload-pack\n0000"
        return await self._converse(request, repository, "advertisement", "--advertise-refs", preamble=preamble)

    async def upload_pack(self, request: web.Request) -> web.StreamResponse:
        return await self._converse(request, await self._repository(request), "result")

    async def refuse_push(self, request: web.Request) -> web.StreamResponse:
        await self._repository(request)
        raise web.HTTPForbidden(text="read-only\n", headers=NOT_CACHED)

    async def file(self, request: web.Request) -> web.StreamResponse:
        return await serve_file(await self._repository(request), request.match_info["file"])

    async def _repository(self, request: web.Request) -> Path:
        """The repository that the URL names; 404 where there is none, or the name leads elsewhere."""
        if not _ESCAPED_SEPARATOR.search(request.rel_url.raw_path):
            name = request.match_info["project"].strip("/")
            for project in (name, name.removesuffix(".git").rstrip("/")):
                with suppress(UnsafeNameError, OSError, ValueError):
                    found = await asyncio.to_thread(_find, self._git_dir, project)
                    if found is not None:
                        return found
        raise web.HTTPNotFound(text="no such repository\n", headers=NOT_CACHED)

    # --- the conversation between client and upload-pack ---

    async def _converse(
        self, request: web.Request, repository: Path, kind: str, *options: str, preamble: bytes = b""
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=NOT_CACHED)
        response.content_type = f"application/x-{UPLOAD_PACK}-{kind}"
        if request.method == hdrs.METH_HEAD:
            return response
        git = Git(repository).having(GIT_PROTOCOL=_protocol(request))
        command = ("-c", "uploadpack.allowAnySHA1InWant=true", "upload-pack", "--strict", "--stateless-rpc", *options)
        try:
            async with (
                self._slots.hold(request),
                self._deadline(request) as progress,
                git.process(*command, str(repository), reads=request.method == hdrs.METH_POST) as process,
            ):
                conversation = _Conversation(request, response, process, self._limits.request_bytes, progress)
                await conversation.hold(preamble)
        except ConnectionError:
            log.debug("git client gone", project=request.match_info["project"], client=request.remote)
        except (TimeoutError, web.HTTPException) as problem:
            if is_gone(request):
                log.debug("git client gone", project=request.match_info["project"], client=request.remote)
                return response
            if not response.prepared and isinstance(problem, web.HTTPException):
                raise
            log.warning("git transfer broken off", project=request.match_info["project"], client=request.remote)
            if request.transport is not None:
                request.transport.abort()  # an orderly end would make what was sent look complete
        return response

    @asynccontextmanager
    async def _deadline(self, request: web.Request) -> AsyncIterator[Callable[[], None]]:
        """Ends the block by TimeoutError when it takes too long in all, or too long since ``progress`` was called,
        or when the client is gone.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.transfer_s
        async with asyncio.timeout(self._limits.idle_s) as timeout, end_when_gone(request, timeout):
            yield lambda: timeout.reschedule(min(end, loop.time() + self._limits.idle_s))


@dataclass(frozen=True, slots=True)
class _Conversation:
    """One request with the process that answers it."""

    request: web.Request
    response: web.StreamResponse
    process: Process
    request_bytes: int
    progress: Callable[[], None]

    async def hold(self, preamble: bytes) -> None:
        """Everything both ways. Raises ConnectionError when the client is gone, an HTTP error while there is time."""
        feeding = asyncio.create_task(self._feed())
        listening = asyncio.create_task(_end_of(self.process.stderr))
        try:
            await self._pump(preamble)
            await feeding
            code, said = await self.process.wait(), await listening
        finally:
            feeding.cancel()
            listening.cancel()
            await asyncio.gather(feeding, listening, return_exceptions=True)
        if code != 0:
            log.info("git upload-pack failed", project=self.request.match_info["project"], code=code, reason=said)
        if not self.response.prepared:
            if code != 0:
                raise web.HTTPInternalServerError(text="git failed\n", headers=NOT_CACHED)
            await self.response.prepare(self.request)

    async def _pump(self, preamble: bytes) -> None:
        async for chunk in _chunks(self.process.stdout):
            if not self.response.prepared:
                await self.response.prepare(self.request)
                await self.response.write(preamble)
            await self.response.write(chunk)
            self.progress()

    async def _feed(self) -> None:
        """The request's body, unpacked; when it breaks off, the process is told by the end of its input."""
        stdin = self.process.stdin
        if stdin is None:
            return
        taken = 0
        try:
            async for chunk in self.request.content.iter_any():
                taken += len(chunk)
                if taken > self.request_bytes:
                    raise web.HTTPRequestEntityTooLarge(self.request_bytes, taken)
                stdin.write(chunk)
                await stdin.drain()
                self.progress()
        except web.RequestPayloadError as problem:
            raise web.HTTPBadRequest(text="the request's body is broken\n", headers=NOT_CACHED) from problem
        except BrokenPipeError:
            pass
        finally:
            stdin.close()
        if taken == 0:
            raise web.HTTPBadRequest(text="the request has no body\n", headers=NOT_CACHED)


def _find(git_dir: Path, project: str) -> Path | None:
    """Blocking. Raises UnsafeNameError."""
    path = repository_path(git_dir, project)
    return path if (path / "objects").is_dir() else None


def _protocol(request: web.Request) -> str:
    """The protocol version that the client asks for, made safe for an environment."""
    asked = request.headers.get("Git-Protocol", "")
    return asked if _PROTOCOL.fullmatch(asked) else ""


async def _end_of(stream: asyncio.StreamReader | None) -> str:
    """Read to the end, keep the end."""
    kept = b""
    async for chunk in _chunks(stream):
        kept = (kept + chunk)[-_KEPT_OF_STDERR:]
    return kept.decode(errors="replace").strip()


async def _chunks(stream: asyncio.StreamReader | None) -> AsyncIterator[bytes]:
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        yield chunk

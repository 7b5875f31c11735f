"""Repositories as plain files, for git clients that do not speak the smart protocol (``spec/outputs.md`` 10.1).

Used by ``web/git`` only, which finds the repository. Lists are made on request: nothing has to keep them up to date.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import hdrs, web

from ci_gate.merger.git import Git, GitError

NOT_CACHED = {
    hdrs.CACHE_CONTROL: "no-cache, max-age=0, must-revalidate",
    hdrs.EXPIRES: "Fri, 01 Jan 1980 00:00:00 GMT",
    hdrs.PRAGMA: "no-cache",
}
FOR_EVER = {hdrs.CACHE_CONTROL: "public, max-age=31536000, immutable"}

PACK_LIST = "objects/info/packs"
FILES = rf"HEAD|{PACK_LIST}|objects/[0-9a-f]{{2}}/[0-9a-f]{{38,62}}|objects/pack/pack-[0-9a-f]{{40,64}}\.(?:pack|idx)"
"""What of a repository can be had: an expression for routes."""

_REF_LINE = "%(objectname)%09%(refname)%(if)%(*objectname)%(then)%0a%(*objectname)%09%(refname)^{}%(end)"


async def list_refs(repository: Path) -> web.Response:
    """``info/refs``: a line a ref, and one more for what an annotated tag stands for."""
    try:
        listed = await Git(repository).run("for-each-ref", f"--format={_REF_LINE}")
    except (GitError, OSError) as problem:
        raise web.HTTPInternalServerError(text="git failed\n", headers=NOT_CACHED) from problem
    return web.Response(body=listed.stdout, headers=NOT_CACHED | {hdrs.CONTENT_TYPE: "text/plain; charset=utf-8"})


async def serve_file(repository: Path, name: str) -> web.StreamResponse:
    """``name`` matches ``FILES``."""
    if name == PACK_LIST:
        lines = await asyncio.to_thread(_pack_lines, repository)
        return web.Response(text=lines, headers=NOT_CACHED)
    if not await asyncio.to_thread((repository / name).is_file):
        raise web.HTTPNotFound(text="no such file\n", headers=NOT_CACHED)
    return web.FileResponse(repository / name, headers=NOT_CACHED if name == "HEAD" else FOR_EVER)


def _pack_lines(repository: Path) -> str:
    packs = sorted(each.name for each in (repository / "objects" / "pack").glob("pack-*.pack"))
    return "".join(f"P {each}\n" for each in packs) + "\n"

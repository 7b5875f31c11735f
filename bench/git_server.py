"""``python -m bench.git_server GIT_DIR``: serves merged refs as ``ci-gate serve`` does; prints its port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from ci_gate.web.git import git_routes


async def main(git_dir: Path) -> None:
    app = web.Application()
    app.add_routes(git_routes(git_dir))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))

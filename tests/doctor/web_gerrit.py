"""A small double of what the doctor asks of Gerrit over HTTP: its REST API, and refs for git."""

from __future__ import annotations

import base64
import json
import time
from email.utils import formatdate

from aiohttp import web
from doctor_parts import HOST

PASSWORD = "secret"


class WebGerrit:
    """``permitted`` are the votes that ``user`` may give on the one open change of each project; None: there is none.

    ``requirements``: the change's, None if they are not shown. ``public``: without a login too. ``refused`` are
    paths that answer 403, below ``/a/`` or not.
    """

    def __init__(self, user: str = "ci") -> None:
        self.user = user
        self.version = "3.13.0"
        self.permitted: dict[str, list[str]] | None = {"Verified": ["-1", " 0", "+1"]}
        self.requirements: list[dict] | None = [{"name": "Verified", "status": "UNSATISFIED"}]
        self.projects = ["All-Projects", "demo/app"]
        self.page = 1  # projects in an answer
        self.public = True
        self.refused: set[str] = set()
        self.skew_s = 0.0
        self.authorizations: list[str | None] = []
        self.asked: list[str] = []
        self.fetched = 0

    async def start(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        return f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization"))
        self.asked.append(f"{request.method} {request.path}")
        expected = "Basic " + base64.b64encode(f"{self.user}:{PASSWORD}".encode()).decode()
        if request.path.startswith("/a/") and self.authorizations[-1] != expected:
            return web.Response(status=401, text="Unauthorized", headers={"WWW-Authenticate": "Basic"})
        path = request.path.removeprefix("/a")
        if path in self.refused:
            return web.Response(status=403, text="not permitted")
        if path.startswith("/demo/app/"):
            return self._ref(path)
        headers = {"Date": formatdate(time.time() + self.skew_s, usegmt=True)}
        return web.Response(text=f")]}}'\n{json.dumps(self._value(path, request))}", headers=headers)

    def _value(self, path: str, request: web.Request) -> object:
        match path:
            case "/config/server/version":
                return self.version
            case "/accounts/self":
                return {"_account_id": 7, "username": self.user}
            case "/projects/":
                first = int(request.query.get("S", "0"))
                found = {each: {} for each in self.projects[first : first + self.page]}
                if found and first + self.page < len(self.projects):
                    found[list(found)[-1]]["_more_projects"] = True
                return found
            case "/changes/":
                is_seen = self.permitted is not None and (self.public or request.path.startswith("/a/"))
                return [self._change(request)] if is_seen else []
        return {}

    def _change(self, request: web.Request) -> dict:
        shown = {"permitted_labels": self.permitted, "labels": {"Verified": {}, "Code-Review": {}}}
        if "SUBMIT_REQUIREMENTS" in request.query.getall("o", []) and self.requirements is not None:
            shown["submit_requirements"] = self.requirements
        return shown

    def _ref(self, path: str) -> web.Response:
        """As a plain web server has it."""
        self.fetched += 1
        if path.endswith("/info/refs"):
            return web.Response(text=f"{'1' * 40}\trefs/heads/master\n")
        return web.Response(status=404)

"""A Gerrit over HTTP for tests of faults: strict in what it takes, and made to fail at will.

What it answers it has learned from recorded answers of 3.13. What a real one does is tested on a real one.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web
from gerrit_parts import recorded_rest

from ci_gate.config.settings import GerritSettings

LOGIN, PASSWORD = "ci-gate", "s3cret ä"
INPUT_KEYS = {"message", "labels", "tag", "notify", "drafts"}
PROJECT = "demo/alpha"


@dataclass
class Fault:
    """One request, of those to a path that ends in ``path``: answered otherwise, or not at all."""

    path: str
    status: int = 0  # 0: the connection is cut
    text: str = "trouble"
    headers: dict = field(default_factory=dict)
    applied: bool = False  # only after it was carried out
    stall_s: float = 0.0


class RestDouble:
    """One change, 1, with one patch set more than it began with."""

    def __init__(self, version: str = "3.13.0") -> None:
        self.version = version
        self.change = copy.deepcopy(recorded_rest(version if version in ("3.10.0", "3.13.0") else "3.13.0"))
        self.change = self.change["change-query"]["answer"][0]
        self.asked: list[str] = []
        self.faults: list[Fault] = []
        self.public = True
        self.submittable = True
        self.port = 0

    @property
    def patch_set(self) -> str:
        return str(self.change["current_revision_number"])

    def ours(self) -> list[str]:
        return [each["message"] for each in self.change["messages"] if each.get("made_here")]

    def posts(self) -> list[str]:
        return [each.partition(" ")[2].rpartition("/")[2] for each in self.asked if each.startswith("POST")]

    def settings(self, **more) -> GerritSettings:
        known = {"name": "gerrit", "server": "127.0.0.1", "user": LOGIN, "baseurl": f"http://127.0.0.1:{self.port}"}
        return GerritSettings(**(known | {"password": PASSWORD} | more))

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", self._answer)])
        self._runner = web.AppRunner(app, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    # --- what it serves ---

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        self.asked.append(f"{request.method} {request.raw_path}")
        fault = next((each for each in self.faults if path.endswith(each.path)), None)
        if fault is not None:
            self.faults.remove(fault)
            await asyncio.sleep(fault.stall_s)
            if fault.status and fault.applied:
                await self._serve(request, path)
            if fault.status:
                return web.Response(status=fault.status, text=fault.text, headers=fault.headers)
            if fault.applied:
                await self._serve(request, path)
            request.transport.abort()
            return web.Response()
        return await self._serve(request, path)

    async def _serve(self, request: web.Request, path: str) -> web.Response:
        if path.startswith("/a/"):
            wanted = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {wanted}":
                return web.Response(status=401, text="Unauthorized", headers={"WWW-Authenticate": "Basic"})
        elif "Authorization" in request.headers or not (self.public or path.startswith("/config/")):
            return web.Response(status=403, text="not signed in\n")
        path = path.removeprefix("/a")
        if path == "/config/server/version":
            return _good(self.version)
        if path == "/changes/":
            return self._query(request)
        here = f"/changes/demo%2Falpha~{self.change['_number']}"
        if request.method == "GET" and path == here:
            return _good(self.change)
        if request.method == "GET" and path.endswith("/related"):
            return _good({"changes": []})
        if request.method == "POST" and path == f"{here}/revisions/{self.patch_set}/review":
            return await self._review(request)
        if request.method == "POST" and path == f"{here}/revisions/{self.patch_set}/submit":
            return self._submit()
        return web.Response(status=404, text=f"Not found: {path}\n")

    def _query(self, request: web.Request) -> web.Response:
        options = request.query.getall("o", [])
        if "SUBMIT_REQUIREMENTS" in options and tuple(map(int, self.version.split("."))) < (3, 5):
            return web.Response(status=400, text='"SUBMIT_REQUIREMENTS" is not a valid value for "-o"\n')
        shown = dict(self.change)
        if "SUBMIT_REQUIREMENTS" not in options:
            shown.pop("submit_requirements", None)
        wanted = request.query["q"].strip("()").split(" OR ")
        return _good([shown] if f"change:{self.change['_number']}" in wanted else [])

    async def _review(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.content_type != "application/json" or body.keys() - INPUT_KEYS:
            return web.Response(status=400, text="Invalid application/json in request\n")
        votes = body.get("labels", {})
        if any(abs(value) > 2 for value in votes.values()):
            return web.Response(status=403, text='Applying label "Verified": 3 is restricted\n')
        header = "".join(f" {label}{value:+d}" for label, value in votes.items())
        self.change["messages"].append(
            {
                "author": {"username": LOGIN},
                "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}.000000000",
                "message": f"Patch Set {self.patch_set}:{header}\n\n{body.get('message', '')}".rstrip(),
                "made_here": True,
            }
        )
        return _good({"labels": votes})

    def _submit(self) -> web.Response:
        if self.change["status"] == "MERGED":
            return web.Response(status=409, text="change is merged\n")
        if not self.submittable:
            return web.Response(status=409, text="Change 1 is not ready: submit requirement 'Workflow' is unsatisfied.")
        self.change["status"] = "MERGED"
        return _good(self.change)


def _good(data: object) -> web.Response:
    return web.Response(text=f")]}}'\n{json.dumps(data)}\n", content_type="application/json")

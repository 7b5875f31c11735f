"""A simulated stock Jenkins with its remote API, strict where the real one is (gearman-jenkins.md 10-14).

Crumbs belong to a session's cookie, queue items vanish, equal waiting ones become one build, undeclared parameters are
dropped, names in addresses are decoded once, answers hold only what ``tree`` asks for, folders nest. Builds end when a
test says so, or by themselves after ``build_s``.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from ci_gate.sandbox.jenkins_tree import pruned

PIPELINE_CLASS = "org.jenkinsci.plugins.workflow.job.WorkflowJob"
FREESTYLE_CLASS = "hudson.model.FreeStyleProject"
FOLDER_CLASS = "com.cloudbees.hudson.plugins.folder.Folder"


@dataclass
class RestBuild:
    job: RestJob
    number: int
    parameters: dict[str, str]
    started: float
    node: str = ""
    result: str | None = None
    ended: float = 0.0
    description: str = ""
    signals: list[str] = field(default_factory=list)  # stop, term and kill, as they came

    def end(self, result: str = "SUCCESS") -> None:
        if self.result is None:
            self.result, self.ended = result, time.time()


@dataclass
class RestJob:
    """``heeds``: by which signal its builds end. ``declared`` None: the job takes no parameters."""

    path: tuple[str, ...]
    declared: list[str] | None
    pipeline: bool = False
    disabled: bool = False
    label: str = ""
    heeds: str = "stop"
    builds: list[RestBuild] = field(default_factory=list)
    config: str = ""
    next_number: int = 1


@dataclass
class RestItem:
    id: int
    job: RestJob
    parameters: dict[str, str]
    at: float
    cancelled: bool = False
    build: RestBuild | None = None
    left: float | None = None


class JenkinsRest:
    """``url`` after :meth:`start`. Everything that a test turns on stands below, with what it does."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[str, ...], RestJob] = {}
        self.items: dict[int, RestItem] = {}
        self.nodes: dict[str, tuple[int, tuple[str, ...]]] = {"": (2, ("master",))}
        self.offline: dict[str, str] = {}
        self.user, self.token = "gate", "token-1"
        self.password: str | None = None  # with it, POST needs a crumb
        self.queue_s = 0.0  # how long items wait before they start
        self.item_s = 300.0  # how long items are known after they left the queue
        self.build_s: float | None = None
        self.held = False  # nothing leaves the queue
        self.quieting_down = False
        self.session = secrets.token_hex(4)
        self.statuses: list[int] = []  # answers to the next requests, before anything else
        self.start_statuses: list[int] = []  # the same for requests to start a build
        self.lose_starts = 0  # so many builds are queued, and their answer lost
        self.requests: Counter[str] = Counter()
        self.starts: list[tuple[str, dict[str, str]]] = []
        self.clock_skew_s = 0.0
        self._crumbs: dict[str, str] = {}  # by session cookie
        self._next_item = 1
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.tls: ssl.SSLContext | None = None  # with it, everything is served over TLS

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        application = web.Application(client_max_size=16 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    def restart(self) -> None:
        """As a new process: running freestyle builds have died, pipelines run on, the queue is kept."""
        self.session = secrets.token_hex(4)
        self._crumbs.clear()
        for job in self.jobs.values():
            for build in job.builds:
                if build.result is None and not job.pipeline:
                    build.end("FAILURE")

    def add(self, path: str, *, declared: list[str] | None = None, **options: Any) -> RestJob:
        """A job; its folders come into being with it. ``declared`` defaults to what a gate sends."""
        names = tuple(path.split("/"))
        job = RestJob(names, DECLARED if declared is None else declared, **options)
        definitions = "".join(
            f"<hudson.model.StringParameterDefinition><name>{name}</name></hudson.model.StringParameterDefinition>"
            for name in job.declared or ()
        )
        job.config = (
            "<?xml version='1.1' encoding='UTF-8'?>\n<project><properties><hudson.model.ParametersDefinitionProperty>"
            f"<parameterDefinitions>{definitions}</parameterDefinitions>"
            "</hudson.model.ParametersDefinitionProperty></properties><builders/></project>"
        )
        self.jobs[names] = job
        return job

    @property
    def running(self) -> list[RestBuild]:
        return [build for job in self.jobs.values() for build in job.builds if build.result is None]

    def advance(self) -> None:
        """What has happened meanwhile: items start, builds end, items are forgotten."""
        now = time.time()
        for item in list(self.items.values()):
            if item.left is None and not self.held and now - item.at >= self.queue_s:
                self._begin(item)
            if item.left is not None and now - item.left >= self.item_s:
                del self.items[item.id]
        if self.build_s is not None:
            for build in self.running:
                if now - build.started >= self.build_s:
                    build.end()

    def _begin(self, item: RestItem) -> None:
        job = item.job
        node = next((name for name, (_, labels) in self.nodes.items() if job.label in labels), "")
        item.build = RestBuild(job, job.next_number, item.parameters, time.time(), node)
        job.next_number += 1
        job.builds.insert(0, item.build)
        item.left = time.time()

    # Requests

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.advance()
        raw = request.raw_path.partition("?")[0]
        parts = [unquote(each) for each in raw.strip("/").split("/") if each]
        self.requests[f"{request.method} {raw}"] += 1
        headers = {"X-Jenkins-Session": self.session, "X-Jenkins": "2.504"}
        if self.clock_skew_s:
            headers["Date"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + self.clock_skew_s))
        answer = await self._answer(request, parts)
        if isinstance(answer, web.StreamResponse):
            answer.headers.update(headers)
            return answer
        return web.json_response(pruned(answer, request.query.get("tree", "")), headers=headers)

    async def _answer(self, request: web.Request, parts: list[str]) -> Any:
        if self.statuses:
            return web.Response(status=self.statuses.pop(0), text="Please wait while Jenkins is getting ready to work")
        if not self._may(request):
            return web.Response(status=401, text="Invalid password/token for user")
        if parts == ["crumbIssuer", "api", "json"]:
            return self._crumb(request)
        if request.method == "POST" and self.password is not None and not self._has_crumb(request):
            return web.Response(status=403, text="No valid crumb was included in the request")
        if parts[-2:] == ["api", "json"]:
            return self._view(parts[:-2])
        if request.method == "POST":
            return await self._act(request, parts)
        if parts[-1:] == ["config.xml"] and (job := self._job(parts[:-1])):
            return web.Response(text=job.config, content_type="application/xml")
        return web.Response(status=404)

    def _may(self, request: web.Request) -> bool:
        wanted = f"{self.user}:{self.password or self.token}"
        return request.headers.get("Authorization") == "Basic " + base64.b64encode(wanted.encode()).decode()

    def _crumb(self, request: web.Request) -> web.StreamResponse | dict[str, str]:
        if self.password is None:
            return web.Response(status=404)
        cookie = request.cookies.get("JSESSIONID") or secrets.token_hex(8)
        crumb = self._crumbs[cookie] = secrets.token_hex(16)
        answer = web.json_response({"crumbRequestField": "Jenkins-Crumb", "crumb": crumb})
        answer.set_cookie("JSESSIONID", cookie)
        return answer

    def _has_crumb(self, request: web.Request) -> bool:
        expected = self._crumbs.get(request.cookies.get("JSESSIONID", ""))
        return expected is not None and request.headers.get("Jenkins-Crumb") == expected

    def _job(self, parts: list[str]) -> RestJob | None:
        if len(parts) % 2 or set(parts[::2]) != {"job"}:
            return None
        return self.jobs.get(tuple(parts[1::2]))

    def _view(self, parts: list[str]) -> Any:
        match parts:
            case []:
                return {"quietingDown": self.quieting_down, "jobs": self._listing(())}
            case ["queue"]:
                return {"items": [self._item(each) for each in self.items.values() if each.left is None]}
            case ["queue", "item", number]:
                item = self.items.get(int(number))
                return web.Response(status=404) if item is None else self._item(item)
            case ["computer"]:
                return {"computer": [self._node(name) for name in self.nodes]}
            case ["computer", name]:
                return self._node("" if name == "(master)" else name)
        if (job := self._job(parts)) is not None:
            return self._shown(job)
        if (job := self._job(parts[:-1])) is not None and parts[-1].isdecimal():
            found = next((each for each in job.builds if each.number == int(parts[-1])), None)
            return web.Response(status=404) if found is None else self._build(found)
        folder = tuple(parts[1::2])
        listing = self._listing(folder) if set(parts[::2]) == {"job"} else []
        return {"name": folder[-1], "jobs": listing} if listing else web.Response(status=404)

    def _listing(self, folder: tuple[str, ...]) -> list[dict[str, Any]]:
        depth = len(folder)
        names = dict.fromkeys(path[depth] for path in self.jobs if path[:depth] == folder and len(path) > depth)
        return [
            self._shown(self.jobs[*folder, name])
            if (*folder, name) in self.jobs
            else {"_class": FOLDER_CLASS, "name": name, "jobs": self._listing((*folder, name))}
            for name in names
        ]

    def _shown(self, job: RestJob) -> dict[str, Any]:
        definitions = [{"name": name} for name in job.declared or ()]
        return {
            "_class": PIPELINE_CLASS if job.pipeline else FREESTYLE_CLASS,
            "name": job.path[-1],
            "buildable": not job.disabled,
            "labelExpression": job.label or None,
            "property": [{"parameterDefinitions": definitions}] if definitions else [],
            "builds": [self._build(each) for each in job.builds[:100]],
        }

    def _build(self, build: RestBuild) -> dict[str, Any]:
        shown = {
            "number": build.number,
            "url": f"{self.url}/{'/'.join(f'job/{each}' for each in build.job.path)}/{build.number}/",
            "building": build.result is None,
            "result": build.result,
            "timestamp": int((build.started + self.clock_skew_s) * 1000),
            "duration": int((build.ended - build.started) * 1000) if build.result else 0,
            "estimatedDuration": 60_000,
            "description": build.description,
            "actions": [{}, {"parameters": _pairs(build.parameters)}],
        }
        return shown if build.job.pipeline else shown | {"builtOn": build.node}

    def _item(self, item: RestItem) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": item.id,
            "why": "Waiting for next available executor",
            "stuck": False,
            "task": {"name": item.job.path[-1], "url": self.url},
            "actions": [{"parameters": _pairs(item.parameters)}],
        }
        if item.left is not None:
            shown["cancelled"] = item.cancelled
        if item.build is not None:
            shown["executable"] = {"number": item.build.number, "url": self._build(item.build)["url"]}
        return shown

    def _node(self, name: str) -> dict[str, Any]:
        executors, labels = self.nodes[name]
        offline = name in self.offline
        return {
            "displayName": name or "Built-In Node",
            "numExecutors": executors,
            "offline": offline,
            "temporarilyOffline": offline,
            "assignedLabels": [{"name": label} for label in labels],
        }

    async def _act(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        match parts:
            case [*path, "buildWithParameters"] if (job := self._job(path)) is not None:
                return await self._start(request, job, form)
            case ["queue", "cancelItem"]:
                item = self.items.get(int(request.query["id"]))
                if item is None or item.left is not None:
                    return web.Response(status=404)
                item.cancelled, item.left = True, time.time()
                return web.Response(status=204)
            case ["computer", name, "toggleOffline"]:
                node = "" if name == "(master)" else name
                self.offline[node] = request.query.get("offlineMessage", "")
                return _redirect("../")
            case [*path, number, ("stop" | "term" | "kill" | "submitDescription") as verb] if job := self._job(path):
                found = next((each for each in job.builds if str(each.number) == number), None)
                if found is None:
                    return web.Response(status=404)
                if verb == "submitDescription":
                    found.description = form["description"]
                else:
                    found.signals.append(verb)
                    if verb == job.heeds:
                        found.end("ABORTED")
                return _redirect(".")
            case [*path, "config.xml"] if job := self._job(path):
                job.config = await request.text()
                before, _, _ = job.config.partition("</parameterDefinitions>")
                job.declared = [each.partition("</name>")[0] for each in before.split("<name>")[1:]]
                return web.Response()
        return web.Response(status=404)

    async def _start(self, request: web.Request, job: RestJob, form: dict[str, str]) -> web.StreamResponse:
        if self.start_statuses:
            return web.Response(status=self.start_statuses.pop(0))
        if job.disabled:
            return web.Response(status=409)
        if not job.declared:
            return web.Response(status=400, text="the job is not parameterized")
        if len(request.raw_path) > 8192:
            return web.Response(status=414)
        parameters = {name: form.get(name, "") for name in job.declared}
        self.starts.append(("/".join(job.path), parameters))
        same = [each for each in self.items.values() if each.left is None and each.job is job]
        item = next((each for each in same if each.parameters == parameters), None)
        if item is None:
            item = self.items[self._next_item] = RestItem(self._next_item, job, parameters, time.time())
            self._next_item += 1
        if self.lose_starts:
            self.lose_starts -= 1
            if request.transport is not None:
                request.transport.abort()
            await asyncio.sleep(0)
        return web.Response(status=201, headers={"Location": f"http://root.example.org/queue/item/{item.id}/"})


def _pairs(parameters: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in parameters.items()]


def _redirect(where: str) -> web.Response:
    return web.Response(status=302, headers={"Location": where})


DECLARED = [
    "ZUUL_UUID", "ZUUL_PROJECT", "ZUUL_PIPELINE", "ZUUL_URL", "ZUUL_VOTING", "BASE_LOG_PATH", "LOG_PATH", "ZUUL_BRANCH",
    "ZUUL_CHANGE", "ZUUL_PATCHSET", "ZUUL_CHANGES", "ZUUL_CHANGE_IDS", "ZUUL_REF", "ZUUL_COMMIT", "ZUUL_REFNAME",
    "ZUUL_OLDREV", "ZUUL_NEWREV", "ZUUL_SHORT_OLDREV", "ZUUL_SHORT_NEWREV",
]  # fmt: skip

"""What is asked of Jenkins, and its answers as values (gearman-jenkins.md 10 and 12); always by ``tree``."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ci_gate.jenkins.http import Answer, BrokenError, BusyError, Http
from ci_gate.jenkins.names import Path, address_of

UUID = "ZUUL_UUID"
PARAMETERS = "actions[parameters[name,value]]"
BUILD = f"number,url,building,result,timestamp,duration,estimatedDuration,builtOn,{PARAMETERS}"
JOB = "_class,name,buildable,labelExpression,property[parameterDefinitions[name]],actions[parameterDefinitions[name]]"
MOST_BUILDS = 100  # Jenkins shows no more under this name
PIPELINE = "WorkflowJob"
ITEM = re.compile(r"/queue/item/(\d+)/?$")


@dataclass(frozen=True, slots=True)
class JenkinsJob:
    """``label`` is the expression that says where it may run."""

    path: Path
    buildable: bool
    parameters: frozenset[str]
    label: str = ""
    pipeline: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    jobs: tuple[JenkinsJob, ...]
    quieting_down: bool


@dataclass(frozen=True, slots=True)
class Nodes:
    """``labels`` by the node's name; a node's own name is one of its labels. The controller's name is empty."""

    executors: int
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueItem:
    """``number`` and ``url`` once it has become a build; ``task`` is the address of its job."""

    id: int
    cancelled: bool = False
    number: int | None = None
    url: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """Times in seconds, ``timestamp`` by Jenkins' clock; ``estimate_s`` None if it has none, ``duration_s`` while it
    runs."""

    uuid: str
    number: int
    url: str
    building: bool
    result: str | None
    timestamp: float
    estimate_s: float | None
    built_on: str | None
    duration_s: float | None = None


class Api:
    """``clock_skew_s`` is how far Jenkins' clock is ahead of ``now``'s; ``session`` changes when Jenkins restarts."""

    def __init__(self, http: Http, now: Any) -> None:
        self.http = http
        self.clock_skew_s = 0.0
        self.session: str | None = None
        self._knows_ranges: bool | None = None  # not tried yet
        self._now = now

    # Looking

    async def overview(self, depth: int) -> Overview:
        """Every job down to ``depth`` folders."""
        tree = f"jobs[{JOB}]"
        for _ in range(depth - 1):
            tree = f"jobs[{JOB},{tree}]"
        top = await self._json("", f"quietingDown,{tree}")
        return Overview(tuple(_jobs((), top)), bool(top.get("quietingDown")))

    async def nodes(self) -> Nodes:
        top = await self._json("computer", "computer[displayName,numExecutors,offline,assignedLabels[name]]")
        executors, labels = 0, {}
        for number, each in enumerate(_dicts(top.get("computer"))):
            executors += int(each.get("numExecutors") or 0) if not each.get("offline") else 0
            name = "" if number == 0 else str(each.get("displayName") or "")  # the first is the controller
            labels[name] = tuple(
                str(label["name"]) for label in _dicts(each.get("assignedLabels")) if label.get("name")
            )
        return Nodes(executors, labels)

    async def queue(self) -> dict[str, QueueItem]:
        """By uuid; only those that have one."""
        top = await self._json("queue", f"items[id,why,stuck,cancelled,task[name,url],{PARAMETERS},params]")
        found = {}
        for each in _dicts(top.get("items")):
            uuid = _uuid_of(each)
            if uuid and isinstance(each.get("id"), int):
                task = str((each.get("task") or {}).get("url") or "").rstrip("/")
                found[uuid] = QueueItem(each["id"], cancelled=bool(each.get("cancelled")), task=task)
        return found

    async def item(self, item: int) -> QueueItem:
        """Raises MissingError, for every item some minutes after it has left the queue."""
        top = await self._json(f"queue/item/{item}", "cancelled,executable[number,url]")
        executable = top.get("executable") or {}
        return QueueItem(item, bool(top.get("cancelled")), executable.get("number"), str(executable.get("url") or ""))

    async def builds(self, path: Path, count: int) -> dict[str, BuildRecord]:
        """The latest of a job, by uuid."""
        return _records(await self._latest(path, f"builds[{BUILD}]", count))

    async def builds_in(self, folder: Path, count: int) -> dict[Path, dict[str, BuildRecord]]:
        """The latest of each job of a folder."""
        top = await self._latest(folder, f"jobs[name,builds[{BUILD}]]", count)
        return {(*folder, str(each["name"])): _records(each) for each in _dicts(top.get("jobs")) if "name" in each}

    async def _latest(self, path: Path, tree: str, count: int) -> dict[str, Any]:
        """With no more builds than needed, if the server can do that: Hudson answers that it is broken."""
        inner = f"builds[{BUILD}]"
        part = f"{{0,{min(count, MOST_BUILDS)}}}"
        if self._knows_ranges is not False:
            try:
                top = await self._json(address_of(path), tree.replace(inner, inner + part))
            except BrokenError:
                if self._knows_ranges:
                    raise
            else:
                self._knows_ranges = True
                return top
        top = await self._json(address_of(path), tree)
        self._knows_ranges = False
        return top

    async def build(self, path: Path, number: int) -> BuildRecord:
        """Raises MissingError. Its uuid is empty if it was not started by a gate."""
        return _record(await self._json(f"{address_of(path)}/{number}", BUILD))

    # Doing

    async def start(self, path: Path, parameters: Mapping[str, str]) -> int | None:
        """The queue item, if Jenkins names it. Parameters go in the body: they can be longer than an address."""
        place = f"{address_of(path)}/buildWithParameters"
        answer = await self.http.post(place, form=parameters, query={"delay": "0sec"})
        found = ITEM.search(answer.location)
        return int(found[1]) if found else None

    async def interrupt(self, path: Path, number: int, how: str = "stop") -> None:
        """``how``: stop, and for pipelines term and kill."""
        await self.http.post(f"{address_of(path)}/{number}/{how}")

    async def cancel_item(self, item: int) -> None:
        """Raises MissingError if it has left the queue."""
        await self.http.post("queue/cancelItem", query={"id": str(item)})

    async def describe(self, path: Path, number: int, text: str) -> None:
        await self.http.post(f"{address_of(path)}/{number}/submitDescription", form={"description": text})

    async def take_offline(self, node: str, reason: str) -> None:
        """Unless it is offline already."""
        place = "computer/" + address_of((node or "(master)",)).removeprefix("job/")
        state = await self._json(place, "offline,temporarilyOffline")
        if not state.get("offline") and not state.get("temporarilyOffline"):
            await self.http.post(f"{place}/toggleOffline", query={"offlineMessage": reason})

    async def _json(self, path: str, tree: str) -> dict[str, Any]:
        answer = await self.http.get(path, tree)
        self._learn(answer)
        try:
            value = json.loads(answer.body)
        except ValueError as problem:
            raise BusyError("Jenkins answered what is not JSON, as a proxy or a Jenkins that starts does") from problem
        if not isinstance(value, dict):
            raise BusyError("Jenkins answered JSON that is not an object")
        return value

    def _learn(self, answer: Answer) -> None:
        self.session = answer.session or self.session
        if answer.at is not None:
            skew = answer.at - self._now()
            self.clock_skew_s = skew if abs(skew) > 2.0 else 0.0  # the header counts whole seconds


def _jobs(folder: Path, top: Mapping[str, Any]) -> Iterator[JenkinsJob]:
    for each in _dicts(top.get("jobs")):
        path = (*folder, str(each.get("name") or ""))
        if "buildable" in each:
            declared = [
                str(definition.get("name"))
                for holder in (*_dicts(each.get("property")), *_dicts(each.get("actions")))
                for definition in _dicts(holder.get("parameterDefinitions"))
            ]
            pipeline = PIPELINE in str(each.get("_class") or "")
            label = str(each.get("labelExpression") or "")
            yield JenkinsJob(path, bool(each["buildable"]), frozenset(declared), label, pipeline)
        yield from _jobs(path, each)


def _records(top: Mapping[str, Any]) -> dict[str, BuildRecord]:
    records = [_record(each) for each in _dicts(top.get("builds"))]
    return {each.uuid: each for each in records if each.uuid}  # the oldest of equal ones counts: others are repeats


def _record(each: Mapping[str, Any]) -> BuildRecord:
    estimate, duration = each.get("estimatedDuration"), each.get("duration")
    return BuildRecord(
        uuid=_uuid_of(each),
        number=int(each.get("number") or 0),
        url=str(each.get("url") or ""),
        building=bool(each.get("building")),
        result=str(each["result"]) if each.get("result") else None,
        timestamp=float(each.get("timestamp") or 0) / 1000,
        estimate_s=estimate / 1000 if isinstance(estimate, int | float) and estimate > 0 else None,
        built_on=str(each["builtOn"]) if each.get("builtOn") is not None else None,
        duration_s=duration / 1000 if isinstance(duration, int | float) and duration > 0 else None,
    )


def _uuid_of(each: Mapping[str, Any]) -> str:
    for action in _dicts(each.get("actions")):
        for parameter in _dicts(action.get("parameters")):
            if parameter.get("name") == UUID:
                return str(parameter.get("value") or "")
    return ""


def _dicts(value: Any) -> Sequence[dict[str, Any]] | Collection[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []

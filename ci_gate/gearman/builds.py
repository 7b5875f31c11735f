"""The books of the launcher: which builds are to be sent, which the server has, what workers said about them.

Runs on the loop's thread; no I/O: it says by callbacks what is to be done. The rules are those of
``spec/gearman-jenkins.md`` 4 (data), 5 (cancelling), 7 (the servers' differences) and 9 (lost servers).

A cancelled build stays in the books until nothing more can come from it: it is stopped wherever it turns up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import assert_never

import structlog

from ci_gate.gearman import answers
from ci_gate.gearman.build import Build, Counts, Doer, counts_of
from ci_gate.gearman.client import Said, Submission
from ci_gate.gearman.inquiry import ServerKind, Standing
from ci_gate.gearman.manager_jobs import ManagerJobs
from ci_gate.gearman.stalls import LongWait
from ci_gate.gearman.times import LauncherTimes
from ci_gate.model.build import Begun, BuildEnd, BuildRequest, BuildUpdate, NumberedBuild

log = structlog.stdlib.get_logger("zuul.Gearman")

NOT_REGISTERED = "NOT_REGISTERED"


class Builds:
    """``outgoing`` waits for the sender, ``unsure`` was in the server when a connection ended; by unique id."""

    def __init__(self, doer: Doer, times: LauncherTimes) -> None:
        self.outgoing: dict[str, Submission] = {}
        self.unsure: set[str] = set()
        self._doer = doer
        self._times = times
        self._builds: dict[str, Build] = {}
        self._by_handle: dict[bytes, Build] = {}
        self._manager_jobs = ManagerJobs(send=self._send, withdraw=doer.withdraw, limit_s=times.stop_limit)

    # What the daemon wants

    def add(self, request: BuildRequest, begun: Begun | None = None, *, doubtful: bool = False) -> None:
        """Of one that had ``begun``, or is ``doubtful``, the server is asked first: it could run a second time."""
        if request.uuid in self._builds:
            return
        data = json.dumps(dict(request.parameters)).encode()
        submission = Submission(request.function, request.uuid, data, request.precedence)
        build = self._builds[request.uuid] = Build(request, submission)
        if begun is None and not doubtful:
            self._send(submission)
            return
        if begun is not None:
            build.number, build.manager, build.by_uuid, build.sent = begun.number, begun.manager, begun.by_uuid, True
        self._lost_sight(build)
        self._doer.wake_resolver()

    def cancel(self, uuid: str) -> None:
        build = self._builds.get(uuid)
        if build is None or build.cancelled:
            return
        build.cancelled = True
        if build.can_be_stopped:
            self._stop(build)
            if build.started and build.handle is None:
                self._drop(build)  # its connection is gone, the stop request goes out on the next one
        elif build.handle is not None:
            self._doer.withdraw(uuid, build.handle)
        elif not build.sent:
            self._doubt(build)
        # else: it is on its way, or unsure; what becomes of it is decided when we know where it is.

    def describe(self, builds: Sequence[NumberedBuild], html: str, knows: Callable[[str], bool]) -> bool:
        return self._manager_jobs.describe(builds, html, knows)

    def describe_late(self, knows: Callable[[str], bool]) -> None:
        self._manager_jobs.describe_late(knows)

    def _doubt(self, build: Build) -> None:
        """We did not send it, but the process before us may have done so: the server is asked whether it runs."""
        build.sent = True
        self.outgoing.pop(build.unique, None)
        self.unsure.add(build.unique)
        self._doer.wake_resolver()

    def counts(self, elsewhere: int = 0) -> Counts:
        return counts_of(self._builds.values(), elsewhere)

    def close(self) -> None:
        self._manager_jobs.close()
        for build in self._builds.values():
            _cancel_timer(build)

    # What becomes of a submission

    def may_go(self, unique: str, knows: Callable[[str], bool]) -> bool:
        """A build goes out only if its function is known; what a server has had already needs no asking."""
        build = self._builds.get(unique)
        return build is None or build.sent or knows(build.request.function)

    def take(self, unique: str) -> Submission | None:
        """The submission is about to be sent. None if it is no longer wanted."""
        submission = self.outgoing.pop(unique, None)
        build = self._builds.get(unique)
        if submission and build:
            build.sent, build.was_sent = True, build.sent
        return submission

    def put_back(self, submission: Submission) -> None:
        """It was certainly not sent."""
        build = self._builds.get(submission.unique)
        if build is not None:
            build.sent = build.was_sent
        if build is not None or submission.unique in self._manager_jobs:
            self.outgoing[submission.unique] = submission

    def not_sent(self, submission: Submission) -> None:
        """Whether it arrived is not known."""
        if submission.unique in self._builds:
            self.unsure.add(submission.unique)
            self._doer.wake_resolver()
        elif submission.unique in self._manager_jobs:
            self.outgoing[submission.unique] = submission

    def refused(self, submission: Submission, text: str) -> None:
        log.error("the job server refused a job", function=submission.function, answer=text)
        build = self._builds.get(submission.unique)
        if build:
            self._end(build, answers.EXCEPTION, reason=f"the Gearman server refused the build: {text}")
        elif submission.unique in self._manager_jobs:
            self._manager_jobs.ended(submission.unique)

    def end_unregistered(self, knows: Callable[[str], bool]) -> None:
        """The list of functions is complete: what waits for one that is not in it has nobody to run it."""
        for unique in list(self.outgoing):
            if not self.may_go(unique, knows):
                build = self._builds[unique]
                self._end(build, NOT_REGISTERED, reason=f"no worker has registered {build.request.function}")

    def lacks(self, knows: Callable[[str], bool]) -> bool:
        return any(not self.may_go(unique, knows) for unique in self.outgoing)

    # What the server says

    def created(self, unique: str, handle: bytes) -> None:
        build = self._builds.get(unique)
        if build is None:
            if unique in self._manager_jobs:
                self._manager_jobs.created(unique, handle)
            else:
                self._doer.forget(handle)
            return
        build.handle = handle
        build.queued_at = build.queued_at or _now()
        self._by_handle[handle] = build
        self._heard(build)
        _cancel_timer(build)
        if build.cancelled:
            self._doer.withdraw(unique, handle)

    def withdrawn(self, unique: str, ok: bool) -> None:
        """The answer to ``cancel job``. OK is final only if nothing comes from a worker after it."""
        build = self._builds.get(unique)
        if build is None or build.started:
            return
        if ok and not build.runs:
            self._drop_soon(build)
        elif ok:
            log.info("build runs, it is stopped as soon as its worker says where", uuid=unique)
        else:
            log.info("build cannot be taken out of the queue, its result will be ignored", uuid=unique)

    def said(self, unique: str, what: Said, body: bytes) -> None:
        """A packet from the worker."""
        build = self._builds.get(unique)
        if build is None:
            self._said_of_a_stranger(unique, what)
            return
        self._heard(build)
        match what:
            case Said.STATUS:
                self._estimated(build, answers.estimate_of(body))
            case Said.DATA:
                self._told(build, body)
            case Said.COMPLETE | Said.FAIL | Said.EXCEPTION:
                self._finished(build, what, body)
            case _:
                assert_never(what)

    def answered(self, handle: bytes, known: bool) -> None:
        """What the server says of a build that was silent; two denials make it lost (4.1)."""
        build = self._by_handle.get(handle)
        if build is None:
            return
        now = _now()
        if known:
            self._heard(build)
        elif build.doubted_at is None:
            build.doubted_at = now
        elif now - build.doubted_at >= self._times.doubt:
            self._end(build, None, reason="the job server does not know the build any more")

    def silent(self) -> list[bytes]:
        """Handles to ask the server about."""
        latest = _now() - self._times.silence
        return [
            handle
            for handle, build in self._by_handle.items()
            if build.doubted_at is not None or build.heard_at <= latest
        ]

    def long_waits(self) -> dict[str, LongWait]:
        """Builds that wait at the server for long, by function."""
        now = _now()
        waits: dict[str, LongWait] = {}
        for build in self._by_handle.values():
            waited_s = now - build.queued_at
            if not build.started and not build.cancelled and waited_s >= self._times.stall:
                known = waits.get(build.request.function, LongWait(0, 0.0))
                waits[build.request.function] = LongWait(known.builds + 1, max(known.oldest_s, waited_s))
        return waits

    # Lost connections

    def connection_lost(self) -> None:
        self._by_handle.clear()
        for build in list(self._builds.values()):
            if build.sent:
                self._lost_sight(build)
        self._manager_jobs.connection_lost()

    def resolve(self, unique: str, standing: Standing, server: ServerKind) -> None:
        """What the server of the next connection says of an unsure build (see ``launcher.py``)."""
        self.unsure.discard(unique)
        build = self._builds.get(unique)
        if build is None or build.handle is not None or unique in self.outgoing:
            return
        build.runs = standing is Standing.RUNNING
        waits_well = standing is Standing.WAITING and (server is ServerKind.OURS or build.cancelled)
        if build.runs or waits_well:
            self._send(build.submission)  # attaches; one that is cancelled is then withdrawn or stopped
        elif build.cancelled:
            self._drop(build)
        elif build.started:
            self._orphaned(build, "the job server was restarted while the build ran")
        elif standing is Standing.WAITING:
            self._end(build, None, counted=False, reason="the connection to the job server was lost")
        else:
            self._send(build.submission)

    def look_elsewhere(self, unique: str) -> BuildRequest | None:
        """It is looked for elsewhere: till then nothing is decided. None: a connection has it, or nobody wants it."""
        build = self._builds.get(unique)
        if build is None or build.cancelled or build.handle is not None or unique in self.outgoing:
            return None
        _cancel_timer(build)
        return build.request

    def never_ran(self, unique: str) -> None:
        """What was known of it is of no build that there is, or of another one."""
        if build := self._builds.get(unique):
            build.number, build.manager, build.by_uuid, build.data = None, None, False, {}

    def hand_over(self, unique: str) -> bool:
        """Somebody else follows it from now on. Whether it is still wanted."""
        build = self._builds.get(unique)
        if build is None:
            return False
        self._drop(build)
        return not build.cancelled

    def _lost_sight(self, build: Build) -> None:
        build.handle = None
        build.doubted_at = None
        self.outgoing.pop(build.unique, None)
        if build.cancelled and build.started:
            self._drop(build)
            return
        self.unsure.add(build.unique)
        if build.started and build.timer is None:
            reason = f"no connection to the job server for {self._times.unknown_limit:g} s"
            later = asyncio.get_running_loop().call_later
            build.timer = later(self._times.unknown_limit, self._orphaned, build, reason)

    def _orphaned(self, build: Build, reason: str) -> None:
        """It may run on, but what it says reaches nobody."""
        self._stop(build)
        self._end(build, None, counted=False, reason=reason)

    # What workers say

    def _said_of_a_stranger(self, unique: str, what: Said) -> None:
        if unique in self._manager_jobs and what not in (Said.DATA, Said.STATUS):
            handle = self._manager_jobs.ended(unique)
            if handle is not None:
                self._doer.forget(handle)
        else:
            log.debug("ignored: not one of our builds", uuid=unique, packet=what.value)

    def _heard(self, build: Build) -> None:
        build.heard_at = _now()
        build.doubted_at = None

    def _estimated(self, build: Build, estimate_s: float | None) -> None:
        if estimate_s is not None and not build.cancelled:
            self._doer.updated(BuildUpdate(build.unique, started=build.started, estimate_s=estimate_s))

    def _told(self, build: Build, body: bytes) -> None:
        data = self._data_of(build, body)
        if data is None or not body or data == build.data:  # an attached client is told again what it knows
            return
        build.data, build.runs = data, True
        number = answers.number_of(data)
        if number is not None:
            build.number = number
        build.manager = answers.manager_of(data) or build.manager
        build.by_uuid = build.by_uuid or answers.by_uuid(build.unique, data)
        if not build.cancelled:
            self._doer.updated(answers.update_of(build.unique, data, started=build.started))
            return
        _cancel_timer(build)  # it runs
        if build.can_be_stopped:
            self._stop(build)

    def _finished(self, build: Build, what: Said, body: bytes) -> None:
        if build.cancelled and what is Said.FAIL and not build.started:
            if not build.runs:
                self._drop_soon(build)  # gearmand says so of every cancelled job, also of one that runs on
            return
        told = b"" if what is Said.EXCEPTION else body
        said = self._data_of(build, told)
        if said is None:
            return
        reason = {
            Said.FAIL: "the worker or its connection failed",
            Said.EXCEPTION: f"the worker failed: {answers.excerpt(body)}",
        }.get(what, "the worker gave no result")
        end = answers.end_of(build.unique, said if told else build.data, started=build.started, reason=reason)
        self._close_books(build, end)

    def _data_of(self, build: Build, body: bytes) -> answers.Data | None:
        """None: it was garbage, which ends the build."""
        try:
            return answers.data_of(body)
        except answers.GarbageError as error:
            log.warning("garbage from a worker", uuid=build.unique, body=answers.excerpt(body))
            self._end(build, answers.EXCEPTION, reason=str(error))
            return None

    # Ends

    def _send(self, submission: Submission) -> None:
        self.outgoing[submission.unique] = submission
        self._doer.wake_sender()

    def _stop(self, build: Build) -> None:
        if build.manager is None:
            log.warning("build cannot be stopped: its worker names no manager", uuid=build.unique)
        elif build.stopped_as != (build.manager, build.number):
            build.stopped_as = build.manager, build.number
            uuid = build.unique if build.by_uuid else None
            self._manager_jobs.stop(build.manager, build.request.job, build.number, uuid)

    def _end(self, build: Build, result: str | None, *, reason: str, counted: bool = True) -> None:
        self._close_books(build, BuildEnd(build.unique, result, counted=counted, reason=reason))

    def _close_books(self, build: Build, end: BuildEnd) -> None:
        self._drop(build)
        if not build.cancelled:
            self._doer.ended(end)

    def _drop_soon(self, build: Build) -> None:
        if build.timer is None:
            later = asyncio.get_running_loop().call_later
            build.timer = later(self._times.cancel_confirm, self._drop, build)

    def _drop(self, build: Build) -> None:
        _cancel_timer(build)
        self._builds.pop(build.unique, None)
        self.outgoing.pop(build.unique, None)
        self.unsure.discard(build.unique)
        if build.handle is not None:
            self._by_handle.pop(build.handle, None)
            self._doer.forget(build.handle)


def _cancel_timer(build: Build) -> None:
    if build.timer:
        build.timer.cancel()
        build.timer = None


def _now() -> float:
    return asyncio.get_running_loop().time()

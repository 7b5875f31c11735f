"""The managers of pipelines from scratch: after every input, everything is walked until nothing changes.

Written from scheduler.md alone (sections 3 to 14), to be compared with the real ones step by step; slow on
purpose, and without any memory of what was looked at before. What is done is told as tuples that begin with the
pipeline and a verb; merges are named by the order in which they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count, takewhile

from reference_records import Key, Record, Records
from reference_state import Build, BuildSet, Item, JobRules, Lane, Queue

from ci_gate.model.change import ChangeDetails
from ci_gate.model.layout import JobNode, Layout, Pipeline

NEED = "a needed change is failing"
MERGE_REPEATS = 3
Action = tuple[object, ...]


def lanes_of(layout: Layout) -> list[Lane]:
    """Every pipeline, empty, with the shared queues that it has from the layout."""
    lanes = [Lane(each) for each in layout.pipelines]
    for lane in lanes:
        for shared in layout.queues.get(lane.pipeline.name, ()):
            lane.queues.append(Queue(lane.pipeline.window.size))
            lane.by_project.update(dict.fromkeys(shared.projects, lane.queues[-1]))
    return lanes


class Reference(JobRules):
    def __init__(self, layout: Layout, gerrit: Mapping[str, ChangeDetails]) -> None:
        self.layout = layout
        self.records = Records(gerrit)
        self.lanes = lanes_of(layout)
        self.mutexes: dict[str, tuple[Item, str]] = {}
        self.merges = count(1)
        self.told: list[Action] = []

    # --- inputs ---

    def event(self, type_: str, number: str, patchset: str, accepted_by: Callable[[Pipeline], bool]) -> None:
        if self.records.gerrit[number].project not in self.layout.projects and not self.records.lead_to(number):
            return  # free to be skipped (3.1)
        record = self.records.refresh(number, patchset, set())
        if record is None or self.project(record.key) not in self.layout.projects:
            return
        for lane in self.lanes:
            for item in self._outdated(lane, type_, record):
                self.withdraw(lane, item)
            if accepted_by(lane.pipeline):
                self.enter(lane, record.key)

    def _outdated(self, lane: Lane, type_: str, record: Record) -> list[Item]:
        number, patchset = record.key
        mine = [each for each in lane.live() if each.key[0] == number and not each.reported]
        if type_ == "patchset-created" and lane.pipeline.dequeue_on_new_patchset:
            return [each for each in mine if int(each.key[1]) < int(patchset)][:1]
        return [each for each in mine if type_ == "change-abandoned" and each.key == record.key]

    def merge_answered(self, merge: int, outcome: str, *, may_pass: bool) -> None:
        """``may_pass``: it is asked for up to four times in all, each time when :meth:`merge_due` is called."""
        for lane, _, item in self._waiting_for(merge):
            if not may_pass or item.builds_of.tries > MERGE_REPEATS:
                item.builds_of.answer = outcome
                if outcome != "merged":
                    self._skip_all(lane, item)

    def merge_due(self, merge: int) -> None:
        for lane, _, item in self._waiting_for(merge):
            item.builds_of.again = True
            if item.active and NEED not in item.builds_of.reasons:
                self._ask(lane, item)

    def _waiting_for(self, merge: int) -> list[tuple[Lane, Queue, Item]]:
        found = [each for each in self.everything() if each[2].builds_of.merge == merge]
        return [each for each in found if each[2].builds_of.answer is None and not each[2].builds_of.again]

    def build_ended(self, build: Build, result: str | None, *, counted: bool) -> None:
        for lane, _, item in self.everything():
            for job, mine in list(item.builds_of.builds.items()):
                if mine is build and build.result is None:
                    self._release(item, job)
                    if result:
                        build.result = result
                        self._skip_below(lane, item, job)
                    else:
                        del item.builds_of.builds[job]
                        item.builds_of.launches[job] -= not counted

    def verified(self, key: Key, *, merged: bool) -> None:
        """What failed and was merged by hand does not count as merged here: nobody compares what its branch has."""
        lane, queue, item = next(each for each in self.everything() if each[2].key == key and each[2].reported)
        if not merged or not item.passed:
            self._leave_unmerged(lane, queue, item)
            return
        for record in self.records.by_key.values():
            record.merged = record.merged or record.key[0] == key[0]
        rules = lane.pipeline.window
        if queue.window:
            linear = rules.increase_type == "linear"
            factor = rules.increase_factor
            queue.window = queue.window + factor if linear else queue.window * factor
        self._leave(queue, item)

    def promote(self, lane: Lane, keys: list[Key]) -> None:
        """What is not moved stays, and so does what is reported already."""
        inside = {item.key: (queue, item) for queue in lane.queues for item in queue.items if item.live}
        if not keys or any(key not in inside or inside[key][0] is not inside[keys[0]][0] for key in keys):
            return
        queue = inside[keys[0]][0]
        members = [each for each in queue.items if each.live and not each.reported]
        wanted = [inside[key][1] for key in keys]
        order = list(dict.fromkeys([*(each for each in wanted if not each.reported), *members]))
        while members and members[0] is order[0]:
            members, order = members[1:], order[1:]
        for item in members:
            self._cancel(lane, item)
        for item in members:
            self._leave(queue, item)
        for item in order:
            self.enter(lane, item.key, quiet=True, by_hand=True)

    def enqueue(self, lane: Lane, key: Key) -> None:
        if self.records.refresh(*key, set()) is not None:
            self.enter(lane, key, by_hand=True)

    def reload(self, layout: Layout) -> None:
        """13, with what is fixed: links stay, who follows a head goes by the same rule as the head, and what is
        reported stays until Gerrit has answered.
        """
        former, self.layout, self.lanes = self.lanes, layout, lanes_of(layout)
        for old, new in zip(former, self.lanes, strict=True):
            for queue in old.queues:
                for item in [each for each in queue.items if each.live]:
                    project = self.project(item.key)
                    place = new.by_project.get(project) if new.dependent else layout.tree(project, new.pipeline.name)
                    if place is None and not item.reported:
                        self.withdraw(old, item)
                if not new.dependent:
                    new.queues.append(queue)
                for item in queue.items if new.dependent else ():
                    self._queue_after_reload(new, item).items.append(item)
        for lane, _, item in self.everything():
            wanted, mine = self.jobs(lane, item), item.builds_of
            for job in [job for job in mine.builds if job not in wanted and not item.reported]:
                self._end(lane, item, mine.builds.pop(job), job)
            if mine.answer not in (None, "merged"):
                self._skip_all(lane, item)
            for job in list(mine.builds):
                if self.is_failed(item, job):
                    self._skip_below(lane, item, job)

    def _queue_after_reload(self, lane: Lane, item: Item) -> Queue:
        """Where its project is already, or where the item is that it stands on, or its project's own."""
        followed = next((each for each in lane.queues if item.ahead in each.items), None)
        queue = self._with_project(lane, item.key) or followed or lane.by_project.get(self.project(item.key))
        if queue is None:
            lane.queues.append(queue := Queue(lane.pipeline.window.size))
        return queue

    def withdraw(self, lane: Lane, item: Item) -> None:
        queue = next(each for each in lane.queues if item in each.items)
        self._reset(lane, item)
        self._leave(queue, item)

    # --- entering (5) ---

    def enter(
        self,
        lane: Lane,
        key: Key,
        *,
        queue: Queue | None = None,
        live: bool = True,
        quiet: bool = False,
        by_hand: bool = False,
    ) -> bool:
        """The steps of 5.1, by their numbers."""
        record, flags = self.records.by_key[key], {"quiet": quiet, "by_hand": by_hand}
        if live and any(each.key == key for each in lane.live()):  # 1
            return True
        if lane.dependent and not record.ready:  # 2
            return False
        if live and not by_hand and not self._meets_requirements(lane, record):  # 3
            return False
        if queue is None:  # 4
            queue = self.queue_of(lane, key) if lane.dependent else Queue()
        needs = self._missing(lane, queue, record) if queue is not None else None
        if queue is None or needs is None or (lane.dependent and not all(self.is_ready(each) for each in needs)):  # 5
            return False
        if queue not in lane.queues:
            lane.queues.append(queue)
        if not all(self.enter(lane, each, queue=queue, live=lane.dependent, **flags) for each in needs):
            return False
        if any(each.key == key for each in queue.items):  # 6
            return True
        queue.items.append(item := Item(key, live))  # 7
        if len(queue.items) > 1:
            self._link(item, queue.items[-2])
        if live and not quiet and not lane.disabled and lane.pipeline.start:  # 8
            self.tell(lane, "start", key)
        for each in record.needed_by if lane.dependent else ():  # 9
            in_this_queue = each in self.records.by_key and self.queue_of(lane, each) is queue
            if in_this_queue and self.is_ready(each):
                self.enter(lane, each, **flags)
        return True

    def queue_of(self, lane: Lane, key: Key) -> Queue | None:
        """That changes of its project enter: where others of it are, or the one that the layout has for it."""
        own = lane.by_project.get(self.project(key))
        return (self._with_project(lane, key) or own) if own else None

    def _with_project(self, lane: Lane, key: Key) -> Queue | None:
        project = self.project(key)
        there = (each for each in lane.queues if any(self.project(item.key) == project for item in each.items))
        return next(there, None)

    def is_ready(self, key: Key) -> bool:
        return self.records.by_key[key].ready

    def _meets_requirements(self, lane: Lane, record: Record) -> bool:
        """Of those that the layouts have."""
        wanted = lane.pipeline.require
        is_open = wanted.is_open is None or wanted.is_open == record.details.is_open
        return is_open and (wanted.current_patchset is None or wanted.current_patchset == record.current)

    def _missing(self, lane: Lane, queue: Queue, record: Record) -> list[Key] | None:
        """Needed changes that are not in front; None if one of them cannot be provided in this queue."""
        if lane.pipeline.ignore_dependencies and not lane.dependent:
            return []
        missing = []
        for key in record.needs:
            need = self.records.by_key.get(key)
            if need is not None and need.merged:
                continue
            inside = any(each.key == key for each in queue.items)
            provided = need is not None and need.current and (inside or self.queue_of(lane, key) is queue)
            if lane.dependent and not provided:
                return None
            if not inside:
                missing.append(key)
        return missing

    # --- advancing (7) ---

    def advance(self) -> None:
        before = None
        while before != (before := self.picture()):
            for lane in self.lanes:
                former = None
                while former != (former := self.picture()):
                    for queue in list(lane.queues):
                        self._walk(lane, queue)

    def picture(self) -> list[object]:
        """Whatever may be different after another pass."""
        return [len(self.told), [self._picture_of(*each) for each in self.everything()], dict(self.mutexes)]

    def _picture_of(self, lane: Lane, queue: Queue, item: Item) -> tuple[object, ...]:
        mine = item.builds_of
        results = tuple((job, build.result) for job, build in mine.builds.items())
        return (item, item.ahead, item.active, item.reported, queue.window, mine, mine.answer, mine.reasons, results)

    def _walk(self, lane: Lane, queue: Queue) -> None:
        nearest: Item | None = None
        for item in list(queue.items):
            if item in queue.items and self._look_at(lane, queue, item, nearest):
                nearest = item
        if not queue.items and not lane.dependent and queue in lane.queues:
            lane.queues.remove(queue)

    def _look_at(self, lane: Lane, queue: Queue, item: Item, nearest: Item | None) -> bool:
        """The steps of 7.2, by their numbers. Is this the nearest that does not fail, for those that follow?"""
        if item.reported:
            return item.passed
        if self._missing(lane, queue, self.records.by_key[item.key]) != []:  # 1
            self._leave_for_need(lane, queue, item)
            return False
        item.active = not queue.window or queue.items.index(item) < queue.window  # 3
        need_fails = lane.dependent and self._has_failing_need(lane, item)
        if need_fails:  # 4
            for each in self._with_behind(item) if NEED not in item.builds_of.reasons else ():  # once (10.3)
                self._cancel(lane, each)
        else:
            self._stand(lane, item, nearest)  # 5
            if item.active:
                self._work(lane, item)
        item.builds_of.reasons = tuple(self._reasons(lane, item, need_fails=need_fails))  # 6, 10
        if not item.live:  # 7
            if not item.behind:
                self._leave(queue, item)
            return False
        if self.is_head(item) and all(self.result(item, job) for job in self.jobs(lane, item)):  # 8
            return self._finish(lane, queue, item)
        return not item.builds_of.reasons  # 9

    def is_head(self, item: Item) -> bool:
        return item.ahead is None or not item.ahead.live

    def _stand(self, lane: Lane, item: Item, nearest: Item | None) -> None:
        ahead = None if self.is_head(item) else item.ahead
        if ahead is nearest or (ahead is not None and self.records.by_key[ahead.key].merged):
            if self._has_canceled(item):
                self._reset(lane, item)  # ours: what was stopped for a need that fails no more begins anew
            return
        for follower in list(item.behind):
            self._link(follower, item.ahead)
        self._link(item, nearest)
        self._reset(lane, item)

    def _has_canceled(self, item: Item) -> bool:
        return any(each.result == "CANCELED" for each in item.builds_of.builds.values())

    def _reasons(self, lane: Lane, item: Item, *, need_fails: bool) -> Iterator[str]:
        if need_fails:
            yield NEED
        if item.builds_of.answer not in (None, "merged"):
            yield "it cannot be merged"
        elif any(self.is_failed(item, job) for job in self.jobs(lane, item) if self.layout.job(job).voting):
            yield "a job failed"

    def _has_failing_need(self, lane: Lane, item: Item) -> bool:
        needs = self.records.by_key[item.key].needs
        return any(each.key in needs and each.builds_of.reasons for each in lane.live())

    def _work(self, lane: Lane, item: Item) -> None:
        """Merge and launch (8, 9.1)."""
        if not self.jobs(lane, item):
            return
        wanted = takewhile(lambda each: each.builds_of.merge is None or each.builds_of.again, self._down_from(item))
        for each in reversed(list(wanted)):
            self._ask(lane, each)
        if item.builds_of.answer == "merged" and not self.holds(lane, item.ahead):
            self._launch(lane, item, self.tree(lane, item))

    def _ask(self, lane: Lane, item: Item) -> None:
        mine = item.builds_of
        mine.merge = mine.merge or next(self.merges)
        mine.tries, mine.again = mine.tries + 1, False
        chain = reversed(list(self._down_from(item)))
        mine.chain = tuple((each.key, each.builds_of.merge or 0) for each in chain)
        self.tell(lane, "merge", mine.chain)

    def _down_from(self, item: Item | None) -> Iterator[Item]:
        """The item, the one it stands on, and so on."""
        while item is not None:
            yield item
            item = item.ahead

    def _launch(self, lane: Lane, item: Item, nodes: tuple[JobNode, ...]) -> None:
        mine = item.builds_of
        for node in nodes:
            job = self.layout.job(node.job)
            if not self.applies(node.job, item):
                continue
            if node.job not in mine.builds:
                if job.mutex and self.mutexes.setdefault(job.mutex, (item, node.job)) != (item, node.job):
                    continue
                build = mine.builds[node.job] = Build()
                mine.launches[node.job] = mine.launches.get(node.job, 0) + 1
                if node.job == "noop":
                    build.result = "SUCCESS"
                    self._release(item, node.job)
                elif mine.launches[node.job] > job.attempts:
                    build.result = "RETRY_LIMIT"
                    self._release(item, node.job)
                    self._skip_below(lane, item, node.job)
                else:
                    self.tell(lane, "launch", node.job, tuple(key for key, _ in mine.chain), mine.merge, build)
            elif mine.builds[node.job].result == "SUCCESS":
                self._launch(lane, item, node.children)

    def _finish(self, lane: Lane, queue: Queue, item: Item) -> bool:
        """Report (11); it stays until Gerrit has said whether it was merged."""
        jobs, answer = self.jobs(lane, item), item.builds_of.answer
        self._cancel(lane, item)
        if jobs:
            voting = [job for job in jobs if self.layout.job(job).voting]
            if answer != "merged":
                kind = "merge failure" if answer == "conflict" else "technical"
            else:
                kind = "success" if all(self.result(item, job) == "SUCCESS" for job in voting) else "failure"
            self._report(lane, item, kind, {job: self.result(item, job) for job in jobs})
            item.passed = kind == "success"
            if lane.dependent and (item.passed or self.records.by_key[item.key].merged):
                item.held = self.holds(lane, item)
                item.reported = True
                self.tell(lane, "verify", item.key)
                return item.passed
        self._leave_unmerged(lane, queue, item)
        return False

    def _report(self, lane: Lane, item: Item, kind: str, results: Mapping[str, str | None]) -> None:
        if not lane.disabled:
            self.tell(lane, "report", item.key, kind, tuple(results.items()) if kind in ("success", "failure") else ())
        if kind in ("failure", "need failed"):
            lane.failures += 1
        elif kind == "success":
            lane.failures = 0
        limit = lane.pipeline.disable_after
        lane.disabled = lane.disabled or (limit is not None and lane.failures >= limit)

    # --- leaving (6, 7.2, 11.3) ---

    def _leave(self, queue: Queue, item: Item) -> None:
        for each in list(item.behind):
            self._link(each, item.ahead)
        self._link(item, None)
        queue.items.remove(item)

    def _leave_unmerged(self, lane: Lane, queue: Queue, item: Item) -> None:
        if lane.dependent:
            self._shrink(lane, queue)
            for each in list(item.behind):
                self._reset(lane, each)
        self._leave(queue, item)

    def _leave_for_need(self, lane: Lane, queue: Queue, item: Item) -> None:
        self._reset(lane, item)
        self._leave(queue, item)
        if item.live:
            self._report(lane, item, "need failed", {})
            if lane.dependent:
                self._shrink(lane, queue)

    def _shrink(self, lane: Lane, queue: Queue) -> None:
        rules = lane.pipeline.window
        if queue.window:
            linear = rules.decrease_type == "linear"
            factor = rules.decrease_factor
            smaller = queue.window - factor if linear else queue.window // factor
            queue.window = max(smaller, rules.floor)

    # --- builds (9, 10) ---

    def _reset(self, lane: Lane, item: Item) -> None:
        for each in self._with_behind(item):
            self._cancel(lane, each)
            if each.builds_of.merge is not None:
                each.builds_of = BuildSet()

    def _cancel(self, lane: Lane, item: Item) -> None:
        for job, build in sorted(item.builds_of.builds.items()):
            self._end(lane, item, build, job)

    def _end(self, lane: Lane, item: Item, build: Build, job: str) -> None:
        """Cancelled, if it has not ended."""
        if build.result is None:
            build.result = "CANCELED"
            self.tell(lane, "cancel", build)
            self._release(item, job)

    def _release(self, item: Item, job: str) -> None:
        self.mutexes = {name: holder for name, holder in self.mutexes.items() if holder != (item, job)}

    def _skip_all(self, lane: Lane, item: Item) -> None:
        for node in self.nodes(self.tree(lane, item)):
            item.builds_of.builds[node.job] = Build("SKIPPED")

    def _skip_below(self, lane: Lane, item: Item, job: str) -> None:
        """What is below a job that failed, and below that, wherever it stands."""
        if item.builds_of.builds[job].result == "SUCCESS":
            return
        for node in self.nodes(self.tree(lane, item)):
            if node.job == job:
                for child in node.children:
                    former = item.builds_of.builds.get(child.job)
                    if former is not None and former.result == "SKIPPED":
                        continue
                    if former is not None:
                        self._end(lane, item, former, child.job)
                    item.builds_of.builds[child.job] = Build("SKIPPED")
                    self._skip_below(lane, item, child.job)

    def _with_behind(self, item: Item) -> list[Item]:
        return [item, *(deeper for each in item.behind for deeper in self._with_behind(each))]

    def _link(self, item: Item, ahead: Item | None) -> None:
        if item.ahead is not None:
            item.ahead.behind.remove(item)
        item.ahead = ahead
        if ahead is not None:
            ahead.behind.append(item)

    def everything(self) -> list[tuple[Lane, Queue, Item]]:
        return [(lane, queue, item) for lane in self.lanes for queue in lane.queues for item in queue.items]

    def tell(self, lane: Lane, verb: str, *what: object) -> None:
        self.told.append((lane.pipeline.name, verb, *what))

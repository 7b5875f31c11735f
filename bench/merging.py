"""What a speculative merge costs: chains in which one change or all are new, old refs, a large repository, fetching.

The merger is the one inside the service, asked as the outbox asks it. Everything that a merge needs has been fetched
before, except where fetching is what is measured.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import structlog

from bench.figures import Figure
from ci_gate.config.settings import MergerSettings
from ci_gate.merger.local import LocalMerger
from ci_gate.model.merge import MergeAnswer, MergeMode, MergeOutcome, MergeRequest, UpdateRequest

RUNS = 7
DEPTHS = (1, 10, 50)
FILES, COMMITS = 2_000, 20
MANY_FILES, MANY_COMMITS = 20_000, 5_000
FILES_A_FOLDER = 50
OLD_REFS, VERY_MANY_REFS = 2_000, 50_000
PROJECT, BRANCH, CONNECTION = "bench/project", "master", "gerrit"
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.devnull, "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}
FIRST_DATE = 1_600_000_000
WANTED_NEW = {1: "< 30", 10: "< 200", 50: "< 900"}


async def measure() -> list[Figure]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures: list[Figure] = []
    with _made(FILES, COMMITS, changes=max(DEPTHS) + RUNS) as site:
        figures += [await _last_new(site, depth, "") for depth in DEPTHS]
        figures += [await _all_new(site, depth) for depth in DEPTHS]
        figures += [await _fetching(site)]
        site.add_old_refs(OLD_REFS)
        figures += [await _last_new(site, depth, f", {OLD_REFS:,} older refs") for depth in DEPTHS]
    with _made(MANY_FILES, MANY_COMMITS, changes=1) as site:
        large = f" of {MANY_FILES:,} files and {MANY_COMMITS:,} commits"
        by_mode = {mode: await _one(site, mode, f"{large}, {mode}", "< 75") for mode in MergeMode}
        none, fetch_none = by_mode[MergeMode.MERGE_RESOLVE], await _fetch_nothing(site, large)
        site.add_old_refs(VERY_MANY_REFS)
        refs = f"{large} with {VERY_MANY_REFS:,} old refs"
        merge = await _one(site, MergeMode.MERGE_RESOLVE, f"{refs}, merge-resolve", f"< {1.25 * none.median:.1f}")
        fetch = await _fetch_nothing(site, refs, f"< {1.25 * fetch_none.median:.1f}")
        figures += [*by_mode.values(), merge, fetch_none, fetch]
    return figures


async def _last_new(site: Site, depth: int, where: str) -> Figure:
    """All but the last of a chain were merged before."""
    async with site.merger() as merger:
        ahead = await site.chain(merger, site.changes[: depth - 1])
        if not ahead:
            await site.chain(merger, site.changes[-1:])  # the process and the repository are warm
        each_another = site.changes[depth - 1 :][:RUNS]  # what was merged before is remembered
        took = [await _took(merger, site.request(change, ahead)) for change in each_another]
    return Figure(f"merge of the last of {depth}{where}", "ms", took, "< 30")


async def _all_new(site: Site, depth: int) -> Figure:
    """Nothing of a chain was merged before, as after a reset or on another host."""
    took = []
    for run in range(RUNS):
        async with site.merger() as merger:
            await site.chain(merger, site.changes[-1:])
            begun = time.perf_counter()
            await site.chain(merger, site.changes[run : run + depth][::-1])
            took.append((time.perf_counter() - begun) * 1000)
    return Figure(f"merge of a chain of {depth}, all new", "ms", took, WANTED_NEW[depth])


async def _one(site: Site, mode: MergeMode, where: str, wanted: str) -> Figure:
    async with site.merger() as merger:
        await site.chain(merger, site.changes[:1])
        requests = [replace(site.request(change), mode=mode) for change in site.add_changes(3 * RUNS, fetched=True)]
        took = [await _took(merger, request) for request in requests]
    return Figure(f"merge in a repository{where}", "ms", took, wanted)


async def _fetching(site: Site) -> Figure:
    """Ten changes that are not there yet, asked for at once."""
    took = []
    for _ in range(RUNS):
        fresh = site.add_changes(10)
        async with site.merger() as merger:
            await site.chain(merger, site.changes[-1:])
            begun = time.perf_counter()
            answers = await asyncio.gather(*(merger.merge(site.request(change)) for change in fresh))
            took.append((time.perf_counter() - begun) * 1000)
            assert all(each.outcome is MergeOutcome.MERGED for each in answers)
    return Figure("ten new changes at once, fetched and merged", "ms", took, "")


async def _fetch_nothing(site: Site, where: str, wanted: str = "") -> Figure:
    took = []
    async with site.merger() as merger:
        await site.update(merger)
        for _ in range(3 * RUNS):
            begun = time.perf_counter()
            await site.update(merger)
            took.append((time.perf_counter() - begun) * 1000)
    return Figure(f"fetch into a repository{where}", "ms", took, wanted)


async def _took(merger: LocalMerger, request: MergeRequest) -> float:
    begun = time.perf_counter()
    _must_be_merged(await merger.merge(request))
    return (time.perf_counter() - begun) * 1000


def _must_be_merged(answer: MergeAnswer) -> None:
    assert answer.outcome is MergeOutcome.MERGED, answer


@contextmanager
def _made(files: int, commits: int, changes: int) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="ci-gate-bench-") as folder:
        site = Site(Path(folder), files)
        site.create(commits, changes)
        yield site


@dataclass(frozen=True)
class _Change:
    ref: str
    commit: str


@dataclass
class Site:
    """An upstream repository made by ``git fast-import``, and mergers that have all of it."""

    root: Path
    files: int
    changes: list[_Change] = field(default_factory=list)
    names: Iterator[int] = field(default_factory=itertools.count)
    commits: int = 0

    @property
    def upstream(self) -> Path:
        return self.root / "upstream.git"

    @property
    def repository(self) -> Path:
        return self.root / "git" / PROJECT / ".git"

    @cached_property
    def tip(self) -> str:
        return _git(self.upstream, "rev-parse", f"refs/heads/{BRANCH}")

    @asynccontextmanager
    async def merger(self) -> AsyncIterator[LocalMerger]:
        settings = MergerSettings(git_dir=self.root / "git", zuul_url="http://ci.example.org/p")
        made = LocalMerger(settings, {}, project_url=lambda *_: str(self.upstream), relook_s=0.0)
        try:
            yield made
        finally:
            await made.close()

    def request(self, change: _Change, ahead: str | None = None) -> MergeRequest:
        return MergeRequest(
            ref=f"Z{next(self.names):032x}",
            connection=CONNECTION,
            project=PROJECT,
            branch=BRANCH,
            refspec=change.ref,
            number=change.ref.split("/")[3],
            patchset="1",
            mode=MergeMode.MERGE_RESOLVE,
            ahead=ahead,
            revision=change.commit,
            tip=self.tip,
        )

    async def chain(self, merger: LocalMerger, changes: Sequence[_Change]) -> str | None:
        """Merge each on the one before it; the name of the last."""
        requests: list[MergeRequest] = []
        for change in changes:
            requests.append(self.request(change, requests[-1].ref if requests else None))
        for answer in await asyncio.gather(*(merger.merge(each) for each in requests)):
            _must_be_merged(answer)
        return requests[-1].ref if requests else None

    async def update(self, merger: LocalMerger) -> None:
        await merger.update(UpdateRequest(f"U{next(self.names)}", CONNECTION, PROJECT))

    def create(self, commits: int, changes: int) -> None:
        _git(self.root, "init", "-q", "--bare", "-b", BRANCH, str(self.upstream))
        stream = [_commit(f"refs/heads/{BRANCH}", 0, None, dict.fromkeys(range(self.files), 0))]
        stream += [
            _commit(f"refs/heads/{BRANCH}", number, None, {number * 7 % (self.files // 2): number})
            for number in range(1, commits)
        ]
        self.commits = commits
        self._import(stream)
        self.add_changes(changes)

    def add_changes(self, count: int, *, fetched: bool = False) -> list[_Change]:
        """Each one commit on an older commit of the branch, and each in a file of its own."""
        base = f"refs/heads/{BRANCH}~{min(10, self.commits - 1)}"
        first = len(self.changes)
        added, stream = [], []
        for number in range(first + 1, first + count + 1):
            ref = f"refs/changes/{number % 100:02}/{number}/1"
            stream.append(_commit(ref, self.commits + number, base, {self.files // 2 + number: f"c{number}"}))
        self._import(stream)
        for number in range(first + 1, first + count + 1):
            ref = f"refs/changes/{number % 100:02}/{number}/1"
            added.append(_Change(ref, _git(self.upstream, "rev-parse", ref)))
        self.changes += added
        if fetched:
            _git(self.repository, "fetch", "-q", "--no-tags", str(self.upstream), *(each.ref for each in added))
        return added

    def add_old_refs(self, count: int) -> None:
        """What builds of the past left: each on a commit of its own, as merges are."""
        tip, tree = self.tip, _git(self.upstream, "rev-parse", f"refs/heads/{BRANCH}^{{tree}}")
        stream = [
            f"commit refs/zuul/{BRANCH}/Y{number:032x}\ncommitter A <a@b> {FIRST_DATE + number} +0000\n"
            f"data 3\nold\nfrom {tip}\nM 040000 {tree} \n\n"
            for number in range(count)
        ]
        self._import(stream, self.repository)

    def _import(self, stream: Sequence[str], where: Path | None = None) -> None:
        command = ["git", "fast-import", "--quiet", "--force"]
        told = "".join(stream).encode()
        subprocess.run(command, cwd=where or self.upstream, env=ENVIRONMENT, input=told, check=True, timeout=300)


def _commit(ref: str, number: int, base: str | None, files: dict[int, object]) -> str:
    lines = [f"commit {ref}", f"committer A <a@example.org> {FIRST_DATE + number} +0000", "data 2", "c"]
    if base:
        lines.append(f"from {base}")
    for file, version in files.items():
        text = f"file {file}\n" + "".join(f"line {line}\n" for line in range(20)) + f"version {version}\n"
        lines += [f"M 100644 inline {_path(file)}", f"data {len(text)}", text]
    return "\n".join(lines) + "\n\n"


def _path(file: int) -> str:
    folder = file // FILES_A_FOLDER
    return f"part{folder // 20}/module{folder % 20}/file{file % FILES_A_FOLDER}.c"


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=where, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=300
    )
    return done.stdout.strip()

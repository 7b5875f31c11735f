"""What was merged for each build set: written before its refs are, read when something stands on it or asks again.

One small JSON file a build set. The commit that a change was put on is chosen at the first
merge; from here a repeat, also after a restart, gets the same one. The file's time says when the state was last known
to be of use.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import structlog

from ci_gate.merger.names import published_ref
from ci_gate.model.merge import BaseCommit, MergeAnswer, MergeMode, MergeOutcome, MergeRequest

_SUFFIX = ".json"

log = structlog.stdlib.get_logger("zuul.Merger")


@dataclass(frozen=True, slots=True)
class BranchState:
    """What one branch of one project is in a chain.

    ``base`` is the tip that the chain was started on there; empty where that is not known. ``position`` is that of the
    last change in it.
    """

    project: str
    branch: str
    commit: str
    base: str
    position: int = 1

    def ref(self, build_set: str) -> str:
        return published_ref(self.branch, build_set)


@dataclass(frozen=True, slots=True)
class Record:
    """One merge that came to a result. ``parent`` is the commit that the change was put on.

    ``position`` is its place in the chain, counted from the change that the chain was begun with, merged since or not.
    ``states`` are all branches that the chain touches, this change's own among them; none after a conflict, which
    ``conflict`` describes and ``paths`` locates.
    """

    request: MergeRequest
    parent: str
    position: int = 1
    states: tuple[BranchState, ...] = ()
    conflict: str = ""
    paths: tuple[str, ...] = ()

    def state(self, project: str, branch: str) -> BranchState | None:
        return next((each for each in self.states if (each.project, each.branch) == (project, branch)), None)

    def projects(self) -> Mapping[str, tuple[BranchState, ...]]:
        """The states by project, in the order of the projects' names."""
        names = sorted({each.project for each in self.states})
        return {name: tuple(each for each in self.states if each.project == name) for name in names}

    def answer(self, url: str | None) -> MergeAnswer:
        request = self.request
        bases = tuple(BaseCommit(each.project, each.branch, each.base) for each in self.states if each.base)
        own = self.state(request.project, request.branch)
        if own is None:
            return MergeAnswer(request.ref, MergeOutcome.CONFLICT, url=url, paths=self.paths, detail=self.conflict)
        return MergeAnswer(request.ref, MergeOutcome.MERGED, commit=own.commit, url=url, bases=bases)


class Records:
    """The folder of records. Every call touches the disk: not for the loop's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, build_set: str) -> Record | None:
        """For use. None if there is none, or none that can be read: then the merge is made anew."""
        record = self.read(build_set)
        if record is not None:
            self.touch([build_set])
        return record

    def read(self, build_set: str) -> Record | None:
        """As ``load``, out of curiosity."""
        path = self._path(build_set)
        try:
            return _from_json(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as problem:
            log.warning("record of a merge is not readable", file=str(path), reason=str(problem))
            return None

    def save(self, record: Record) -> None:
        """Raises OSError, for example when the disk is full."""
        path = self._path(record.request.ref)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_suffix(".new")
        written.write_text(json.dumps(asdict(record)))
        written.replace(path)

    def touch(self, build_sets: Iterable[str]) -> None:
        """They are of use now."""
        for build_set in build_sets:
            with suppress(FileNotFoundError):
                os.utime(self._path(build_set))

    def of_use_at(self, build_set: str) -> float | None:
        """When a state was last known to be of use, in seconds since the epoch; None without a record."""
        try:
            return self._path(build_set).stat().st_mtime
        except FileNotFoundError:
            return None

    def unused_since(self, moment: float) -> list[str]:
        """The build sets whose states were of no use after a moment, in seconds since the epoch."""
        return self._names(lambda time: time < moment)

    def _names(self, wanted: Callable[[float], bool]) -> list[str]:
        if not self._folder.is_dir():
            return []
        with os.scandir(self._folder) as files:
            names = [file.name for file in files if file.name.endswith(_SUFFIX) and wanted(_time_of(file))]
        return [name.removesuffix(_SUFFIX) for name in names]

    def used_since(self, moment: float) -> list[str]:
        """The build sets whose states were of use after a moment, in seconds since the epoch."""
        return self._names(lambda time: time >= moment)

    def forget(self, build_set: str) -> None:
        self._path(build_set).unlink(missing_ok=True)

    def _path(self, build_set: str) -> Path:
        return self._folder / f"{build_set}{_SUFFIX}"


def _time_of(file: os.DirEntry[str]) -> float:
    """Not a number, which is neither before nor after anything, for one that is gone."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return math.nan


def _from_json(value: dict[str, Any]) -> Record:
    """Keys of other versions are passed over."""
    asked = {each.name: value["request"][each.name] for each in fields(MergeRequest) if each.name in value["request"]}
    return Record(
        request=MergeRequest(**{**asked, "mode": MergeMode(asked["mode"])}),
        parent=value["parent"],
        position=value.get("position", 1),
        states=tuple(BranchState(**each) for each in value["states"]),
        conflict=value["conflict"],
        paths=tuple(value["paths"]),
    )

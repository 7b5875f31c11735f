"""What was merged for each build set: written before its refs are, read when something stands on it or asks again.

One small JSON file a build set, below ``GIT_DIR/.ci-gate``. The commit that a change was put on is chosen at the first
merge; from here a repeat, also after a restart, gets the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import structlog

from ci_gate.merger.names import PRIVATE_FOLDER, published_ref
from ci_gate.model.merge import BaseCommit, MergeAnswer, MergeMode, MergeOutcome, MergeRequest

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

    def __init__(self, git_dir: Path) -> None:
        self._folder = git_dir / PRIVATE_FOLDER / "states"

    def load(self, build_set: str) -> Record | None:
        """None if there is none, or none that can be read: then the merge is made anew."""
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

    def _path(self, build_set: str) -> Path:
        return self._folder / f"{build_set}.json"


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

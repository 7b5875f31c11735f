"""Merges as jobs: their JSON, which Zuul's mergers and schedulers speak (``spec/merger.md`` 2).

What ci-gate adds is optional on both sides; keys that the other side does not know are passed over. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ci_gate.model.merge import BaseCommit, MergeAnswer, MergeMode, MergeOutcome, MergeRequest, UpdateRequest

MERGE, UPDATE, RETAIN = "merger:merge", "merger:update", "merger:retain:"

_MODES = {1: MergeMode.MERGE, 2: MergeMode.MERGE_RESOLVE, 3: MergeMode.CHERRY_PICK}
_NUMBERS = {mode: number for number, mode in _MODES.items()}
_ADDED = ("revision", "tip", "base")

UrlOf = Callable[[str, str], str]
"""Connection and project to where the project comes from."""


class BadJobError(ValueError):
    """What came is not what the protocol says; the text names it."""


def merge_data(chain: Iterable[MergeRequest], url_of: UrlOf) -> bytes:
    """The whole chain, front to back: whoever takes the job may have none of it."""
    return json.dumps({"items": [_item(each, url_of) for each in chain]}).encode()


def _item(request: MergeRequest, url_of: UrlOf) -> dict[str, object]:
    return {
        "project": request.project,
        "url": url_of(request.connection, request.project),
        "connection_name": request.connection,
        "merge_mode": _NUMBERS[request.mode],
        "refspec": request.refspec,
        "branch": request.branch,
        "ref": request.ref,
        "number": request.number,
        "patchset": request.patchset,
        "oldrev": None,
        "newrev": None,
        **{key: getattr(request, key) for key in _ADDED if getattr(request, key) is not None},
    }


def merge_requests(data: bytes) -> list[MergeRequest]:
    """The changes of a chain, front to back. Raises BadJobError."""
    items = _object(data).get("items")
    if not isinstance(items, list):
        raise BadJobError("items: a list is needed")
    # Updates of refs that stand ahead (they do not occur in practice) make no state.
    chain = [_request(each) for each in items if not (isinstance(each, dict) and each.get("newrev"))]
    if not chain:
        raise BadJobError("items: there is no change among them")
    return chain


def _request(item: object) -> MergeRequest:
    if not isinstance(item, dict):
        raise BadJobError("items: each must be an object")
    mode = item.get("merge_mode")
    if mode not in _MODES:
        raise BadJobError(f"merge_mode: {mode!r} is none of 1 (merge), 2 (merge-resolve) and 3 (cherry-pick)")
    return MergeRequest(
        ref=_text(item, "ref"),
        connection=_optional(item, "connection_name") or "",
        project=_text(item, "project"),
        branch=_text(item, "branch"),
        refspec=_text(item, "refspec"),
        number=str(item.get("number") or ""),
        patchset=str(item.get("patchset") or ""),
        mode=_MODES[mode],
        revision=_optional(item, "revision"),
        tip=_optional(item, "tip"),
        base=_optional(item, "base"),
        url=_optional(item, "url"),
    )


def merge_result(answer: MergeAnswer) -> bytes:
    result: dict[str, object] = {
        "merged": answer.outcome is MergeOutcome.MERGED,
        "commit": answer.commit,
        "zuul_url": answer.url,
        "tip": answer.tip,
        "bases": [[each.project, each.branch, each.commit] for each in answer.bases],
    }
    return json.dumps(result | _error(answer)).encode()


def merge_answer(ref: str, data: bytes) -> MergeAnswer:
    """Without ``error``, as Zuul's mergers answer, what is not merged is a conflict. Raises BadJobError."""
    result = _object(data)
    merged = result.get("merged") is True
    return MergeAnswer(
        ref,
        MergeOutcome.MERGED if merged else _outcome(result, MergeOutcome.CONFLICT),
        commit=_optional(result, "commit") if merged else None,
        url=_optional(result, "zuul_url"),
        bases=tuple(_base(each) for each in _list(result, "bases")),
        paths=tuple(str(each) for each in _list(_error_of(result), "paths")),
        detail=_optional(_error_of(result), "detail") or "",
        tip=_optional(result, "tip"),
    )


def update_data(
    request: UpdateRequest, url_of: UrlOf, *, branch: str | None = None, revision: str | None = None
) -> bytes:
    """With a branch and a revision it also asks whether the branch has it."""
    asked = {
        "project": request.project,
        "connection_name": request.connection,
        "url": url_of(request.connection, request.project),
    }
    if branch is not None and revision is not None:
        asked |= {"branch": branch, "revision": revision}
    return json.dumps(asked).encode()


def update_request(name: str, data: bytes) -> tuple[UpdateRequest, str | None, str | None]:
    """With the branch and the revision that are asked for, if they are. Raises BadJobError."""
    asked = _object(data)
    request = UpdateRequest(
        name, _optional(asked, "connection_name") or "", _text(asked, "project"), _optional(asked, "url")
    )
    return request, _optional(asked, "branch"), _optional(asked, "revision")


def update_result(answer: MergeAnswer, *, contains: bool | None = None) -> bytes:
    """``updated`` is true as it always was (``spec/merger.md`` 2); who wants to know more looks at ``error``."""
    result: dict[str, object] = {"updated": True, "zuul_url": answer.url}
    if contains is not None:
        result["contains"] = contains
    return json.dumps(result | _error(answer)).encode()


def update_answer(name: str, data: bytes) -> tuple[MergeAnswer, bool | None]:
    """With whether the branch has the revision; None from a merger that does not say. Raises BadJobError."""
    result = _object(data)
    updated = result.get("updated") is True and not _error_of(result)
    outcome = MergeOutcome.MERGED if updated else _outcome(result, MergeOutcome.INTERNAL)
    detail = _optional(_error_of(result), "detail") or ""
    contains = result.get("contains")
    answer = MergeAnswer(name, outcome, url=_optional(result, "zuul_url"), detail=detail)
    return answer, contains if isinstance(contains, bool) else None


def retain_data(inside: Iterable[str]) -> bytes:
    return json.dumps({"inside": list(inside)}).encode()


def retained(data: bytes) -> Sequence[str]:
    """Raises BadJobError: what is not understood must not look like nothing inside."""
    inside = _object(data).get("inside")
    if not isinstance(inside, list):
        raise BadJobError("inside: a list is needed")
    return [str(each) for each in inside]


# --- JSON that others wrote ---


def _error(answer: MergeAnswer) -> dict[str, object]:
    if answer.outcome is MergeOutcome.MERGED:
        return {}
    return {"error": {"kind": answer.outcome.value, "detail": answer.detail, "paths": list(answer.paths)}}


def _error_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    error = result.get("error")
    return error if isinstance(error, dict) else {}


def _outcome(result: Mapping[str, Any], otherwise: MergeOutcome) -> MergeOutcome:
    """A kind that is not known yet is some trouble of the merger's."""
    if not _error_of(result):
        return otherwise
    kind = _error_of(result).get("kind")
    failures = [each for each in MergeOutcome if each is not MergeOutcome.MERGED]
    return next((each for each in failures if each.value == kind), MergeOutcome.INTERNAL)


def _base(value: object) -> BaseCommit:
    match value:
        case [str(project), str(branch), str(commit)]:
            return BaseCommit(project, branch, commit)
    raise BadJobError("bases: project, branch and commit are needed")


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadJobError(f"not a JSON object: {data[:200].decode(errors='replace')}")
    return value


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise BadJobError(f"{key}: a text is needed")
    return value


def _optional(item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    return value if isinstance(value, str) else None


def _list(item: Mapping[str, Any], key: str) -> Sequence[object]:
    value = item.get(key)
    return value if isinstance(value, list) else ()

"""The parameters of a build: ``ZUUL_*`` and log paths (gearman-jenkins.md 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from posixpath import join
from typing import NamedTuple

from ci_gate.model.change import Change, RefUpdate, Subject
from ci_gate.model.layout import Job
from ci_gate.scheduler.chains import Chain
from ci_gate.scheduler.state import Item, State

UUID_DIGITS_IN_PATHS = 7


class ParameterError(Exception):
    """A parameter function left something that cannot be sent."""


class Prepared(NamedTuple):
    """What a build finds to test: the name of its build set, the changes in it, and what the merger answered."""

    name: str | None
    chain: Chain
    url: str | None = None
    commit: str | None = None


def build_parameters(state: State, item: Item, job: Job, uuid: str) -> dict[str, object]:
    """What every build gets, before the operator's function has seen it."""
    build_set, answer = item.build_set, item.build_set.answer
    prepared = Prepared(
        build_set.name, build_set.chain, answer.url if answer else None, answer.commit if answer else None
    )
    return parameters_for(state.subject(item), item.pipeline.name, job, uuid, prepared)


def parameters_for(subject: Subject, pipeline: str, job: Job, uuid: str, prepared: Prepared) -> dict[str, object]:
    base = base_log_path(subject)
    parameters: dict[str, object] = {
        "ZUUL_UUID": uuid,
        "ZUUL_PROJECT": subject.project,
        "ZUUL_PIPELINE": pipeline,
        "ZUUL_URL": prepared.url,
        "ZUUL_VOTING": "1" if job.voting else "0",
        "BASE_LOG_PATH": base,
        "LOG_PATH": join(base, pipeline, job.name, uuid[:UUID_DIGITS_IN_PATHS]),
    }
    if isinstance(subject, Change):
        parameters |= _change_parameters(subject, prepared)
    elif isinstance(subject, RefUpdate):
        parameters |= _ref_parameters(subject)
    return parameters


def _change_parameters(change: Change, prepared: Prepared) -> dict[str, object]:
    return {
        "ZUUL_BRANCH": change.branch,
        "ZUUL_CHANGE": change.number,
        "ZUUL_PATCHSET": change.patchset,
        "ZUUL_CHANGES": prepared.chain.names,
        "ZUUL_CHANGE_IDS": prepared.chain.ids,
        "ZUUL_REF": f"refs/zuul/{change.branch}/{prepared.name}",
        "ZUUL_COMMIT": prepared.commit,
    }


def _ref_parameters(update: RefUpdate) -> dict[str, object]:
    return {
        "ZUUL_REF": update.ref,
        "ZUUL_REFNAME": update.ref,
        "ZUUL_OLDREV": update.oldrev,
        "ZUUL_NEWREV": update.newrev,
        "ZUUL_SHORT_OLDREV": update.oldrev[:7],
        "ZUUL_SHORT_NEWREV": update.newrev[:7],
        "ZUUL_COMMIT": update.newrev,
    }


def base_log_path(subject: Subject) -> str:
    """``10/110/1`` for change 110,1; ``ab/abcdef…`` for a ref; empty for a timer's item."""
    match subject:
        case Change():
            return join(subject.number[-2:], subject.number, subject.patchset)
        case RefUpdate():
            return join(subject.newrev[:2], subject.newrev)
        case _:
            return ""


def as_texts(parameters: Mapping[str, object]) -> dict[str, str | None]:
    """What can be sent: text, null, and numbers and booleans in JSON's spelling.

    Raises ParameterError for lists, mappings and other things that Jenkins would choke on.
    """
    texts: dict[str, str | None] = {}
    for name, value in parameters.items():
        if not isinstance(name, str):
            raise ParameterError(f"parameter name {name!r} is not a text")
        if value is None or isinstance(value, str):
            texts[name] = value
        elif isinstance(value, bool | int | float):
            texts[name] = json.dumps(value)
        else:
            kind = type(value).__name__
            raise ParameterError(f"parameter {name} is a {kind}; it must be a text, a number, a boolean or None")
    return texts

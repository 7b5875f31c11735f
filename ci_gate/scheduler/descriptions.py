"""What Jenkins shows beside a build: which change it is about, as a fragment of HTML (gearman-jenkins.md 5)."""

from __future__ import annotations

from html import escape

from ci_gate.model.change import Change, RefUpdate, Subject
from ci_gate.scheduler.chains import Chain

MOST_AHEAD = 10  # that are named; a long queue would fill the page, and the journal
LINKED = ("http://", "https://")


def build_description(subject: Subject, pipeline: str, chain: Chain) -> str:
    """Everything that comes from outside is escaped. ``chain`` ends with the subject, if that is a change."""
    where = f"{escape(subject.project)}, pipeline {escape(pipeline)}"
    if isinstance(subject, Change):
        text = f"{_change(subject)} of {where}, branch {escape(subject.branch)}"
        ahead = chain.changes[:-1]
        return f"{text}, together with {_named(ahead)}" if ahead else text
    if isinstance(subject, RefUpdate):
        moved = f"{subject.ref} from {subject.oldrev[:7]} to {subject.newrev[:7]}"
        return f"{_linked(moved, subject.url)} of {where}"
    return where


def _named(changes: tuple[Change, ...]) -> str:
    names = ", ".join(_change(each) for each in changes[-MOST_AHEAD:])
    return names if len(changes) <= MOST_AHEAD else f"{len(changes) - MOST_AHEAD} more, {names}"


def _change(change: Change) -> str:
    return _linked(str(change.key), change.url)


def _linked(text: str, url: str | None) -> str:
    if url is None or not url.startswith(LINKED):
        return escape(text)
    return f'<a href="{escape(url)}">{escape(text)}</a>'

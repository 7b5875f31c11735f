"""A Jenkins job's Gerrit Trigger, read from its config.xml. Pure; ``trigger_layout.py`` makes a layout of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

TRIGGER = "com.sonyericsson.hudson.plugins.gerrit.trigger.hudsontrigger.GerritTrigger"
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>\s*")
HOSTILE = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
PLAIN_EVENTS = {
    "PluginPatchsetCreatedEvent": "patchset-created",
    "PluginDraftPublishedEvent": "draft-published",
    "PluginChangeAbandonedEvent": "change-abandoned",
    "PluginChangeRestoredEvent": "change-restored",
    "PluginChangeMergedEvent": "change-merged",
    "PluginRefUpdatedEvent": "ref-updated",
}
OLD_LABELS = {"VRIF": "Verified", "CRVW": "Code-Review"}
EXCLUSIONS = {"excludeWipState": "wip", "excludePrivateState": "private"}
OUTCOMES = {"Started": "start", "Successful": "success", "Failed": "failure"}
DEFAULT_VOTES: dict[str, dict[str, int]] = {"start": {}, "success": {"verified": 1}, "failure": {"verified": -1}}
SKIPS = {"onSuccessful": "success", "onFailed": "failure"}
WITHOUT_EQUIVALENT = {
    "dynamicTriggerConfiguration": "a list of projects that is fetched",
    "customUrl": "a URL of its own: url_pattern of ci.conf is for all jobs",
    "buildUnsuccessfulFilepath": "a message read from a file of the build",
    "notificationLevel": "whom Gerrit notifies: see notify of the gerrit reporter",
}


class TriggerError(Exception):
    """A config.xml that cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """``kind``: PLAIN, ANT or REG_EXP."""

    kind: str
    text: str

    def regex(self, before: str = "") -> str:
        """Matches the whole of a name; ``before`` may stand in front of it."""
        if self.kind == "REG_EXP":
            return f"^{before}(?:{self.text})$"
        if self.kind == "ANT":
            return f"^{before}{_ant(self.text)}$"
        return f"^{before}{re.escape(self.text)}$"


@dataclass(frozen=True, slots=True)
class ProjectTrigger:
    project: Pattern
    branches: tuple[Pattern, ...]
    files: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """``comment`` is an expression; ``approval`` a label and its value; ``reject``: states of changes left out."""

    name: str
    comment: str = ""
    approval: tuple[str, int] | None = None
    reject: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TriggerJob:
    """``votes``: outcome, label, value; ``after``: jobs that it waits for; ``notes``: what has no equivalent."""

    name: str
    projects: tuple[ProjectTrigger, ...]
    events: tuple[Event, ...]
    votes: tuple[tuple[str, str, int], ...]
    silent: bool = False
    silent_start: bool = False
    after: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_trigger(name: str, config: str) -> TriggerJob | None:
    """None for a job without the trigger. Raises TriggerError."""
    trigger = _root(config).find(f".//{TRIGGER}")
    if trigger is None:
        return None
    notes = list(_notes(trigger))
    return TriggerJob(
        name,
        projects=tuple(_projects(trigger, notes)),
        events=tuple(_events(trigger, notes)),
        votes=tuple(_votes(trigger, notes)),
        silent=_true(trigger, "silentMode"),
        silent_start=_true(trigger, "silentStartMode"),
        after=tuple(
            each.strip() for each in (trigger.findtext("dependencyJobsNames") or "").split(",") if each.strip()
        ),
        notes=tuple(notes),
    )


def without_trigger(config: str) -> str:
    """The config.xml without the trigger. Raises TriggerError."""
    root = _root(config)
    for parent in root.iter():
        for each in parent.findall(TRIGGER):
            parent.remove(each)
    declaration = DECLARATION.match(config)
    return (declaration.group(0) if declaration else "") + ET.tostring(root, encoding="unicode")


def _root(config: str) -> ET.Element:
    if HOSTILE.search(config):
        raise TriggerError("it has a document type, which Jenkins never writes")
    try:
        # XML 1.1, as Jenkins declares it, is more than the parser reads; the text itself is the same in both.
        return ET.fromstring(DECLARATION.sub("", config))  # noqa: S314 - no entities, see above
    except ET.ParseError as problem:
        raise TriggerError(f"it is not XML: {problem}") from problem


def _projects(trigger: ET.Element, notes: list[str]) -> Iterator[ProjectTrigger]:
    for each in trigger.findall("gerritProjects/*"):
        if list(_patterns(each, "topics")):
            notes.append("topics of changes are not looked at")
        if list(_patterns(each, "forbiddenFilePaths")):
            notes.append("forbidden file paths: see skip-if of jobs")
        yield ProjectTrigger(_pattern(each), tuple(_patterns(each, "branches")), tuple(_patterns(each, "filePaths")))


def _patterns(element: ET.Element, name: str) -> Iterator[Pattern]:
    return (_pattern(each) for each in element.findall(f"{name}/*"))


def _pattern(element: ET.Element) -> Pattern:
    return Pattern((element.findtext("compareType") or "PLAIN").strip(), (element.findtext("pattern") or "").strip())


def _events(trigger: ET.Element, notes: list[str]) -> Iterator[Event]:
    for each in trigger.findall("triggerOnEvents/*"):
        kind = each.tag.rpartition(".")[2]
        if kind in PLAIN_EVENTS:
            reject = tuple(state for key, state in EXCLUSIONS.items() if _true(each, key))
            notes.extend(
                f"{kind}: {key} has no equivalent"
                for key in ("excludeDrafts", "excludeTrivialRebase", "excludeNoCodeChange")
                if _true(each, key)
            )
            yield Event(PLAIN_EVENTS[kind], reject=reject)
        elif kind == "PluginCommentAddedContainsEvent":
            yield Event("comment-added", comment=f"(?ms){(each.findtext('commentAddedCommentContains') or '').strip()}")
        elif kind == "PluginCommentAddedEvent":
            label = (each.findtext("verdictCategory") or "").strip()
            value = _integer(each.findtext("commentAddedTriggerApprovalValue")) or 0
            yield Event("comment-added", approval=(OLD_LABELS.get(label, label), value))
        else:
            notes.append(f"the event {kind} has no equivalent")


def _votes(trigger: ET.Element, notes: list[str]) -> Iterator[tuple[str, str, int]]:
    for word, outcome in OUTCOMES.items():
        if _true(trigger, next((f"skipVote/{skip}" for skip, of in SKIPS.items() if of == outcome), "-")):
            continue
        for label, key in (("verified", "Verified"), ("code-review", "CodeReview")):
            given = _integer(trigger.findtext(f"gerritBuild{word}{key}Value"))
            value = DEFAULT_VOTES[outcome].get(label, 0) if given is None else given
            if value:
                yield outcome, label, value
    failed = _integer(trigger.findtext("gerritBuildFailedVerifiedValue"))
    for word in ("Unstable", "NotBuilt", "Aborted"):
        other = _integer(trigger.findtext(f"gerritBuild{word}VerifiedValue"))
        if other is not None and other != (-1 if failed is None else failed):
            notes.append(f"a build that is {word.lower()} votes as a failed one, not {other:+d}")


def _notes(trigger: ET.Element) -> Iterator[str]:
    for key, what in WITHOUT_EQUIVALENT.items():
        text = (trigger.findtext(key) or "").strip()
        if text and text.lower() != "false":
            yield what
    for key in ("buildStartMessage", "buildFailureMessage", "buildSuccessfulMessage", "buildUnstableMessage"):
        if (trigger.findtext(key) or "").strip():
            yield f"{key}: see success-message and failure-message of pipelines and jobs"


def _true(element: ET.Element, key: str) -> bool:
    return (element.findtext(key) or "").strip().lower() == "true"


def _integer(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\s*[+-]?\d{1,3}\s*", text) else None


def _ant(text: str) -> str:
    parts = re.split(r"(\*\*|\*|\?)", text)
    meanings = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meanings.get(part, re.escape(part)) for part in parts)

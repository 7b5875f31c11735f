"""Events that had arrived when the service stopped, and that it had not looked at: kept for the next start.

In ``state_dir``; where another service may lead next, in the journal's database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import structlog

from ci_gate.model.event import Event
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.inputs import EventReceived, TimeCame
from ci_gate.store.journal import Journal

FILE = "waiting-events.json"
NAME = "events"
VERSION = 1
UNREADABLE = (OSError, LookupError, TypeError, ValueError, ExceptionGroup)

log = structlog.stdlib.get_logger("zuul.Server")

Waiting = EventReceived | TimeCame


def keep(state_dir: Path, waiting: Sequence[Waiting]) -> None:
    """Write what has not been looked at yet. Raises OSError."""
    if not waiting:
        return
    path = state_dir / FILE
    written = path.with_suffix(".new")
    written.write_text(_text(waiting), encoding="utf-8")
    written.replace(path)
    log.info("events are kept for the next start", number=len(waiting), file=str(path))


def keep_in(journal: Journal, waiting: Sequence[Waiting]) -> None:
    """Where whoever leads next finds it, on whatever machine. Raises what SQLAlchemy raises."""
    if waiting:
        journal.keep_waiting(NAME, _text(waiting))
        log.info("events are kept for the next leader", number=len(waiting))


def take_kept(state_dir: Path) -> list[Waiting]:
    """What the last stop kept; it is no longer kept then. A file that makes no sense is put aside, and told of."""
    path = state_dir / FILE
    try:
        waiting = _waiting(path.read_bytes())
    except FileNotFoundError:
        return []
    except UNREADABLE as problem:
        aside = path.with_suffix(".unreadable")
        log.warning("events of the last stop cannot be read", file=str(aside), reason=str(problem))
        path.replace(aside)
        return []
    path.unlink()
    log.info("events of the last stop are looked at now", number=len(waiting))
    return waiting


def take_from(journal: Journal) -> list[Waiting]:
    """What the leader before kept; it is no longer kept then. Raises what SQLAlchemy raises."""
    text = journal.take_waiting(NAME)
    if text is None:
        return []
    try:
        waiting = _waiting(text)
    except UNREADABLE as problem:
        log.warning("events of the leader before cannot be read", reason=str(problem))
        return []
    log.info("events of the leader before are looked at now", number=len(waiting))
    return waiting


def text_for_people(waiting: int) -> str:
    """For the status page."""
    events = "1 event waits" if waiting == 1 else f"{waiting} events wait"
    return f"Stopping when what runs has ended; nothing new is started. {events} for the next start."


def _text(waiting: Sequence[Waiting]) -> str:
    return json.dumps({"version": VERSION, "waiting": [_encode(each) for each in waiting]})


def _waiting(text: str | bytes) -> list[Waiting]:
    """Raises what ``UNREADABLE`` names."""
    body = json.loads(text)
    if body["version"] != VERSION:
        raise ValueError(f"version {body['version']} is not known")
    return [_decode(each) for each in body["waiting"]]


def _encode(waiting: Waiting) -> object:
    match waiting:
        case EventReceived():
            return {"at": waiting.at, "event": encode(waiting.event, Event)}
        case TimeCame():
            return {"at": waiting.at, "timespec": waiting.timespec}


def _decode(data: dict[str, object]) -> Waiting:
    at = float(str(data["at"]))
    if "timespec" in data:
        return TimeCame(at, str(data["timespec"]))
    return EventReceived(at, decode(data["event"], Event))

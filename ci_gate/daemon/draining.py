"""Events that had arrived when the service stopped, and that it had not looked at: kept for the next start.

The file stays until what it holds is in the journal. A start that ends before that finds it again, and takes those
events only that the journal does not have.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from ci_gate.failpoints import failpoint
from ci_gate.model.event import Event
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.inputs import EventReceived, TimeCame
from ci_gate.store.journal import Journal

FILE = "waiting-events.json"
VERSION = 2
WITHOUT_STEP = 1  # the version whose files do not say after which step they were written

log = structlog.stdlib.get_logger("zuul.Server")

Waiting = EventReceived | TimeCame
KINDS: dict[str, type[Waiting]] = {each.__name__: each for each in (EventReceived, TimeCame)}


@dataclass(frozen=True, slots=True)
class Kept:
    """``after``: the last step of the journal when they were kept; None if that is not known."""

    waiting: tuple[Waiting, ...] = ()
    after: int | None = None


def keep(state_dir: Path, waiting: Sequence[Waiting], after: int) -> None:
    """Write what has not been looked at yet, in place of what was kept before. Raises OSError."""
    path = state_dir / FILE
    if not waiting:
        path.unlink(missing_ok=True)
        return
    body = {"version": VERSION, "after": after, "waiting": [_encode(each) for each in waiting]}
    written = path.with_suffix(".new")
    written.write_text(json.dumps(body), encoding="utf-8")
    failpoint("waiting-events.written")
    written.replace(path)
    failpoint("waiting-events.kept")
    log.info("events are kept for the next start", number=len(waiting), file=str(path))


def read_kept(state_dir: Path) -> Kept:
    """What the last stop kept. A file that makes no sense is put aside, and told of."""
    path = state_dir / FILE
    try:
        body = json.loads(path.read_bytes())
        if body["version"] not in {VERSION, WITHOUT_STEP}:
            raise ValueError(f"version {body['version']} is not known")  # noqa: TRY301  # one answer to all of these
        after = None if body["version"] == WITHOUT_STEP else int(body["after"])
        return Kept(tuple(_decode(each) for each in body["waiting"]), after)
    except FileNotFoundError:
        return Kept()
    except (OSError, LookupError, TypeError, ValueError, ExceptionGroup) as problem:
        aside = path.with_suffix(".unreadable")
        log.warning("events of the last stop cannot be read", file=str(aside), reason=str(problem))
        path.replace(aside)
        return Kept()


def not_taken(kept: Kept, journal: Journal) -> list[Waiting]:
    """Those of the kept events that no step has taken since. Blocks. Raises what SQLAlchemy raises."""
    if kept.after is None or not kept.waiting:
        return list(kept.waiting)
    taken = Counter(
        _name(decode(json.loads(entry.input), KINDS[entry.kind]))
        for entry in journal.entries(kept.after)
        if entry.kind in KINDS
    )
    left = []
    for each in kept.waiting:
        name = _name(each)
        if taken[name]:
            taken[name] -= 1
        else:
            left.append(each)
    if left:
        log.info("events of the last stop are looked at now", number=len(left))
    return left


def forget(state_dir: Path) -> None:
    """All that was kept is in the journal. Raises OSError."""
    failpoint("waiting-events.taken")
    (state_dir / FILE).unlink(missing_ok=True)


def text_for_people(waiting: int) -> str:
    """For the status page."""
    events = "1 event waits" if waiting == 1 else f"{waiting} events wait"
    return f"Stopping when what runs has ended; nothing new is started. {events} for the next start."


def _name(waiting: Waiting) -> str:
    """What it is, whenever it is looked at."""
    return json.dumps(_encode(replace(waiting, at=0.0)), sort_keys=True)


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

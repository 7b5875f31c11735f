"""How long a message may be: Gerrit refuses longer ones, and says how long it takes them (gerrit-wire.md 6.3)."""

from __future__ import annotations

import re

LONGEST_MESSAGE = 16 * 1024  # in UTF-16 units, as Java counts: change.commentSizeLimit unless a site has another
SHORTEST_MESSAGE = 256
CUT_NOTE = "\n(The rest was cut: Gerrit limits the length of comments.{where})\n"
JOB_LINE = "\n- "
TOO_LONG = re.compile(r"Comment size exceeds limit \(\d+ > (\d+)\)", re.IGNORECASE)


def learned_limit(said: str, known: int) -> int | None:
    """What a server takes that refused a message of at most ``known`` units; None if that was not the reason."""
    size = TOO_LONG.search(said)
    if size is None or known <= SHORTEST_MESSAGE:
        return None
    # A server that names no less than we keep to counts in another way, as in bytes.
    return max(SHORTEST_MESSAGE, int(size[1]) if int(size[1]) < known else known // 2)


def cut(message: str, most: int, status_url: str) -> str:
    """Not longer than Gerrit takes, cut at the end of a line where there is one.

    What follows the list of jobs stays, unless it is long itself: a footer is what people look for.
    """
    if _units(message) <= most:
        return message
    note = CUT_NOTE.format(where=f" All of it: {status_url}" if status_url else " The status page has all of it.")
    listed, rest = _list_and_rest(message)
    if _units(note) + _units(rest) > most // 2:
        listed, rest = message, ""
    raw = listed.encode("utf-16-le", errors="replace")
    kept = raw[: 2 * max(0, most - _units(note) - _units(rest))].decode("utf-16-le", errors="ignore")
    return (kept[: kept.rfind("\n")] if "\n" in kept else kept) + note + rest


def _list_and_rest(message: str) -> tuple[str, str]:
    """Up to the last line of a job, and what comes after that."""
    last = message.rfind(JOB_LINE)
    end = message.find("\n", last + len(JOB_LINE)) + 1 if last >= 0 else 0
    return (message[:end], message[end:]) if end else (message, "")


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", errors="replace")) // 2

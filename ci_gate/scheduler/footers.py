"""``Depends-On`` footers (scheduler.md 3.2): anywhere in a message, by a strict rule."""

from __future__ import annotations

import re
from collections.abc import Iterator

FOOTER = re.compile(
    r"^Depends-On: (?:(I[0-9a-f]{40})|(https?://\S+))[^\S\n]*$", re.MULTILINE | re.IGNORECASE | re.ASCII
)
HOST = re.compile(r"https?://([^/]+)", re.IGNORECASE)
ADDRESSES = tuple(
    re.compile(rf"https?://([^/]+)/{path}", re.IGNORECASE | re.ASCII)
    for path in (
        r"(?:.*/)?c/.+/\+/(\d+)(?:/.*)?",  # /c/PROJECT/+/NUMBER
        r"(?:.*/)?c/(\d+)(?:/.*)?",  # /#/c/NUMBER/
        r"(\d+)(?:/\d*)?",  # /NUMBER
    )
)


def host_of(url: str | None) -> str | None:
    """The host of a change's own address, by which addresses of the same Gerrit are known."""
    found = HOST.match(url) if url else None
    return found[1].lower() if found else None


def depends_on(message: str, host: str | None = None) -> tuple[str, ...]:
    """What a commit message names, in order, each once: Change-Ids, spelled as it spells them.

    With a ``host`` also the numbers of changes that are named by their addresses there.
    """
    return tuple(dict.fromkeys(_named(message, host)))


def _named(message: str, host: str | None) -> Iterator[str]:
    for change_id, address in FOOTER.findall(message):
        if change_id:
            yield change_id
        elif host is not None:
            yield from _number(address, host)


def _number(address: str, host: str) -> Iterator[str]:
    for each in ADDRESSES:
        found = each.fullmatch(address)
        if found:
            if found[1].lower() == host:
                yield str(int(found[2]))
            return

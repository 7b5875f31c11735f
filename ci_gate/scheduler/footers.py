"""``Depends-On`` footers (scheduler.md 3.2): anywhere in a message, by a strict rule."""

from __future__ import annotations

import re

FOOTER = re.compile(r"^Depends-On: (I[0-9a-f]{40})[^\S\n]*$", re.MULTILINE | re.IGNORECASE | re.ASCII)


def depends_on(message: str) -> tuple[str, ...]:
    """The Change-Ids that a commit message names, in order, each once, spelled as it spells them."""
    return tuple(dict.fromkeys(FOOTER.findall(message)))

"""One service a state directory: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

FILE = "lock"


class LockedError(Exception):
    """Another service works in the folder. The text is for the operator."""


def lock(state_dir: Path) -> IO[str]:
    """Held until the file is closed. Raises LockedError, OSError."""
    file = (state_dir / FILE).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise LockedError(
            f"another ci-gate (process {holder}) works in {state_dir}; stop it, or give this one a state_dir of its own"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file

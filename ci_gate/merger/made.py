"""What was put on what lately, with which result: a queue in another order pays only for what is new in it.

The same change on the same commit always makes the same commit, or the same conflict; so it need not be made twice,
whichever build sets it is made for.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from ci_gate.merger.commits import Identity
from ci_gate.merger.conflict import ConflictError
from ci_gate.merger.speculative import Application, Workbench, apply_change

REMEMBERED = 10_000
REMEMBERED_S = 86_400.0  # long before git throws away what no ref names any more


class MadeBefore:
    """Used in the worker threads of repositories; only what is asked matters, not where."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._made: OrderedDict[Application, tuple[float, str | ConflictError]] = OrderedDict()
        self._lock = threading.Lock()

    def apply(self, bench: Workbench, asked: Application) -> str:
        """As ``apply_change`` does."""
        made_at, made = self._made.get(asked, (0.0, ""))
        if made and time.monotonic() - made_at < REMEMBERED_S and self._is_there(bench, made):
            if isinstance(made, ConflictError):
                raise made
            return made
        try:
            result: str | ConflictError = apply_change(bench, asked, self._identity)
        except ConflictError as conflict:
            result = conflict
        with self._lock:
            self._made[asked] = (time.monotonic(), result)
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        if isinstance(result, ConflictError):
            raise result
        return result

    @staticmethod
    def _is_there(bench: Workbench, made: str | ConflictError) -> bool:
        return isinstance(made, ConflictError) or bench.objects.has_commit(made)

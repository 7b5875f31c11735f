"""The switches by which a test makes the simulated Gerrit misbehave, as real ones do now and then.

Held by the server, which asks here before it answers. Everything may be switched from any thread while the server
runs.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens instead of a proper answer to one command.

    `fail` answers `stderr` and `exit_status` and does nothing. `stall` sends half of the reply and then nothing
    more, over a connection that stays open. `cut` sends half of the reply and drops the whole connection. For the
    latter two `applied` tells whether the command takes effect first.
    """

    kind: Literal["fail", "stall", "cut"]
    applied: bool = True
    stderr: str = ""
    exit_status: int = 1


@dataclass(frozen=True, slots=True)
class _Planned:
    fault: Fault
    times: float


class Faults:
    """All switches of one server."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.query_lag = 0.0
        """Seconds by which queries answer from an older state than events; holds for what changes from now on."""
        self.most_channels: int | None = None
        """More at a time are refused to a connection; None: as many as are asked for."""
        self.refused_channels = 0
        self._lock = threading.Lock()
        self._planned: dict[str, list[_Planned]] = defaultdict(list)
        self._epoch = 0

    def fail(self, command: str, stderr: str, *, exit_status: int = 1, times: float = 1) -> None:
        """The next `times` commands of that name (`review`, `git-upload-pack`, …) fail in these words."""
        self._plan(command, Fault("fail", False, stderr, exit_status), times)

    def stall(self, command: str, *, applied: bool = True, times: float = 1) -> None:
        """The next `times` commands of that name are never answered to the end."""
        self._plan(command, Fault("stall", applied), times)

    def cut(self, command: str, *, applied: bool = True, times: float = 1) -> None:
        """The next `times` commands of that name lose their connection in the middle of the reply."""
        self._plan(command, Fault("cut", applied), times)

    def freeze(self) -> None:
        """Send not a byte more to anybody, keepalives included; connections stay and new ones are accepted."""
        self.gate.clear()

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        self.gate.set()

    def clear(self) -> None:
        """Behave again: nothing planned, nothing frozen, no lag, and stalled replies come to their end."""
        with self._lock:
            self._planned.clear()
            self._epoch += 1
        self.query_lag = 0.0
        self.most_channels = None
        self.thaw()

    def take(self, command: str) -> Fault | None:
        """The fault that is due for a command of that name; it counts as used."""
        with self._lock:
            planned = self._planned.get(command)
            if not planned:
                return None
            first = planned[0]
            if first.times > 1:
                planned[0] = replace(first, times=first.times - 1)
            else:
                planned.pop(0)
            return first.fault

    @property
    def epoch(self) -> int:
        """Grows with each `clear`: a stalled reply stays so while this is what it was."""
        return self._epoch

    def _plan(self, command: str, fault: Fault, times: float) -> None:
        with self._lock:
            self._planned[command].append(_Planned(fault, times))

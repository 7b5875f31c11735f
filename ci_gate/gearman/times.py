"""How long the launcher waits for what; tests make it shorter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LauncherTimes:
    """All in seconds; the numbers in brackets are sections of gearman-jenkins.md."""

    list_stable: float = 5.0  # unchanged for so long, the list of functions counts as complete (4.2)
    list_limit: float = 30.0  # and so long after a connect at the latest (4.2)
    list_age: float = 5.0  # between two readings of the list for the sake of a function that is not in it (4.2)
    list_reread: float = 60.0  # the list is read again, to remember what is new
    reconnect: float = 1.0  # between two tries to connect
    retry: float = 1.0  # between two tries of anything else
    identify: float = 2.0  # silence that tells gear's server (7)
    stop_limit: float = 60.0  # in which a manager has to take a stop request (5)
    cancel_confirm: float = 5.0  # in which WORK_DATA would show that a cancelled build runs (7)
    unknown_limit: float = 120.0  # without a connection, before a running build counts as lost (9)
    silence: float = 60.0  # of a build, before the server is asked whether it still knows it
    doubt: float = 10.0  # between two answers that it does not (4.1)
    stall: float = 60.0  # of waiting at the server, before it is asked whether workers are idle
    stall_look: float = 15.0  # between two such questions
    answer_limit: float = 30.0  # a server that leaves a question open for so long is given up

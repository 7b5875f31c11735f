"""What the built-in job server answers administrators, line by line (gearman-jenkins.md 1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ci_gate.gearman.waiting import ServerJob


def listing(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines) + b".\n"


def worker_line(connection: Any) -> bytes:
    where = f"{connection.conn.fileno()} {connection.host}".encode()
    return b"%s %s : %s" % (where, connection.client_id or b"-", b" ".join(sorted(connection.functions)))


def idle_lines(
    jobs: Iterable[ServerJob], connections: Collection[Any], waiting: Mapping[bytes, int]
) -> Iterator[bytes]:
    """For functions with jobs that wait: how many do, and how many workers offer them and have nothing to do."""
    at_work = {id(job.worker_connection) for job in jobs if job.running}
    free = [each.functions for each in connections if id(each) not in at_work]
    for name, number in waiting.items():
        yield b"%s\t%d\t%d" % (name, number, sum(name in functions for functions in free))

"""What workers say about builds, made into values (gearman-jenkins.md 4). Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ci_gate.model.build import BuildEnd, BuildUpdate, Worker

EXCEPTION = "EXCEPTION"
LONGEST_EXCERPT = 500

Data = Mapping[str, Any]


class GarbageError(Exception):
    """The data is not what the protocol says; the text names it."""


def data_of(body: bytes) -> Data:
    """The JSON object of a packet; an empty body says nothing. Raises GarbageError."""
    if not body:
        return {}
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise GarbageError(f"the worker sent what is not a JSON object: {excerpt(body)}")
    return data


def excerpt(body: bytes) -> str:
    """As much of a body as a log line and a report can bear."""
    text = body.decode(errors="replace")
    return text if len(text) <= LONGEST_EXCERPT else text[:LONGEST_EXCERPT] + "…"


def update_of(uuid: str, data: Data, *, started: bool) -> BuildUpdate:
    """``started`` is whether a number was known before; a number here starts it as well."""
    number = number_of(data)
    return BuildUpdate(
        uuid,
        started=started or number is not None,
        number=number,
        manager=_text(data, "manager"),
        url=_text(data, "url"),
        worker=_worker(data),
        node_name=_text(data, "node_name"),
        node_labels=_texts(data, "node_labels"),
        started_at=_time(data, "started_at"),
        by_uuid=by_uuid(uuid, data),
    )


def by_uuid(uuid: str, data: Data) -> bool:
    """Whether the worker's manager knows the build by its uuid too: our bridge says so by naming it."""
    return bool(data.get("uuid") == uuid)


def number_of(data: Data) -> int | None:
    number = data.get("number")
    if isinstance(number, str) and number.isdecimal():
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def manager_of(data: Data) -> str | None:
    return _text(data, "manager")


def estimate_of(body: bytes) -> float | None:
    """Seconds, from WORK_STATUS: the worker's estimate in milliseconds is the denominator, -1 if it has none."""
    _, _, denominator = body.partition(b"\x00")
    try:
        milliseconds = float(denominator)
    except ValueError:
        return None
    return milliseconds / 1000 if milliseconds > 0 else None


def end_of(uuid: str, data: Data, *, started: bool, reason: str) -> BuildEnd:
    """A final packet: its kind does not matter, a result does. ``reason`` says why if there is none."""
    result = data.get("result")
    if result is not None and not isinstance(result, str):
        return BuildEnd(uuid, EXCEPTION, reason=f"the worker sent a result that is not text: {result!r}")
    last = update_of(uuid, data, started=started) if data else None
    ended_at = _time(data, "ended_at") if result else None
    return BuildEnd(uuid, result or None, reason="" if result else reason, last=last, ended_at=ended_at)


def _worker(data: Data) -> Worker | None:
    """The Jenkins plugin says only ``worker`` and ``node_name``."""
    name = _text(data, "worker_name") or _text(data, "worker") or _text(data, "node_name")
    extra = data.get("worker_extra")
    worker = Worker(
        name=name or Worker().name,
        hostname=_text(data, "worker_hostname"),
        ips=_texts(data, "worker_ips"),
        fqdn=_text(data, "worker_fqdn"),
        program=_text(data, "worker_program"),
        version=_text(data, "worker_version"),
        extra={str(key): str(value) for key, value in extra.items()} if isinstance(extra, dict) else {},
    )
    return worker if worker != Worker() else None


def _text(data: Data, key: str) -> str | None:
    value = data.get(key)
    return str(value) if value not in (None, "") else None


def _time(data: Data, key: str) -> float | None:
    """Said by our bridge, and by no other worker."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def _texts(data: Data, key: str) -> tuple[str, ...]:
    value = data.get(key)
    return tuple(str(each) for each in value) if isinstance(value, list) else ()

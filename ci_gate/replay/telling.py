"""What a replay says, line by line: text for people, JSON for machines. Equal replays give equal lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ci_gate.replay.running import Decided, OtherMemory
from ci_gate.scheduler.codec import encode
from ci_gate.scheduler.effects import Effect
from ci_gate.scheduler.explain import Decision
from ci_gate.scheduler.snapshots.decisions import plain

LONGEST_EFFECT = 300  # characters of an effect that differs, in text


@dataclass(slots=True)
class Teller:
    """``subject``: only decisions about this change (``12``, or ``12,3``). Differences are told whatever it is.

    Counts what it sees.
    """

    as_json: bool
    subject: str | None = None
    steps: int = 0
    decisions: int = 0
    differences: int = 0

    def lines(self, happened: Iterable[Decided | OtherMemory]) -> Iterator[str]:
        for each in happened:
            if isinstance(each, OtherMemory):
                self.differences += 1
                yield self._other_memory(each)
                continue
            self.steps += 1
            for decision in each.decisions:
                if concerns(decision.subject, self.subject):
                    self.decisions += 1
                    yield self._decision(each, decision)
            if not each.step.as_recorded:
                self.differences += 1
                yield from self._difference(each)

    def summary(self) -> str:
        said = f"{self.steps} steps, {self.decisions} decisions; "
        if not self.differences:
            return said + "every effect is the one that was recorded"
        return said + (
            f"{self.differences} times this version decides otherwise than the one that was running: a defect, unless "
            "that was another version"
        )

    def _decision(self, each: Decided, decision: Decision) -> str:
        if self.as_json:
            values = {name: plain(value) for name, value in decision.values}
            return json.dumps(
                {
                    "seq": each.step.entry.seq,
                    "at": decision.at,
                    "input": each.step.entry.kind,
                    "subject": decision.subject,
                    "pipeline": decision.pipeline,
                    "code": decision.code.value,
                    "values": values,
                    "text": decision.text,
                }
            )
        return f"{when(decision.at)}  {decision.subject}  {decision.pipeline or '-'}  {decision.text}"

    def _difference(self, each: Decided) -> Iterator[str]:
        recorded, decided = (_encoded(some) for some in (each.step.effects, each.step.decided))
        gone, new = _without(recorded, decided), _without(decided, recorded)
        entry = each.step.entry
        if self.as_json:
            told = {"recorded": gone, "decided": new, "order_only": not gone and not new}
            yield json.dumps({"seq": entry.seq, "at": entry.at, "input": entry.kind, "difference": told})
            return
        yield f"{when(entry.at)}  step {entry.seq} ({entry.kind}) is decided otherwise than it was recorded:"
        if not gone and not new:
            yield "    the same effects in another order"
        yield from (f"    recorded  {_short(one)}" for one in gone)
        yield from (f"    now       {_short(one)}" for one in new)

    def _other_memory(self, each: OtherMemory) -> str:
        if self.as_json:
            return json.dumps({"seq": each.seq, "difference": {"memory": True}})
        return f"after step {each.seq} the service remembered something else; the replay goes on from what it did"


def concerns(subject: str, wanted: str | None) -> bool:
    """Is it about the change ``12``, or the patch set ``12,3``? What is about all of a change counts for both."""
    if wanted is None or subject == wanted:
        return True
    return subject.startswith(f"{wanted},") or ("," in wanted and subject == wanted.partition(",")[0])


def when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _encoded(effects: Iterable[Effect]) -> list[Any]:
    return [encode(each, Effect) for each in effects]


def _without(some: list[Any], others: list[Any]) -> list[Any]:
    left = list(others)
    found = []
    for each in some:
        if each in left:
            left.remove(each)
        else:
            found.append(each)
    return found


def _short(effect: Any) -> str:
    said = json.dumps(effect, ensure_ascii=False)
    return said if len(said) <= LONGEST_EFFECT else said[:LONGEST_EFFECT] + " …"

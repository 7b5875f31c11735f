"""Names for strangers: every text of a record in other words, the same text always in the same ones.

What is not known to be harmless is replaced, so that a field that is new here gives nothing away. Kept are the words of
ci-gate, Gerrit and Zuul (fields, kinds, states, results, usual labels and branches), numbers, times, and identifiers
that the scheduler makes itself. Texts that are made of others are taken apart: refs, timers, addresses, footers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ci_gate.config.layout.schema import CLASSIC_EVENTS, EVENTS_WITHOUT_SUBJECT, FURTHER_EVENTS, ZUUL_EVENTS
from ci_gate.model.change import NO_REVISION
from ci_gate.model.labels import normal_label
from ci_gate.model.layout import DEPENDENT, INDEPENDENT, SUPERCEDENT
from ci_gate.model.merge import MergeOutcome
from ci_gate.model.modes import MergeMode, Precedence
from ci_gate.model.report import DeliveryOutcome
from ci_gate.model.search import SearchKind
from ci_gate.scheduler.footers import ADDRESSES, FOOTER, HOST
from ci_gate.scheduler.state import MergeState

KEYED_BY_NAMES = {
    **dict.fromkeys(("parameters", "extra"), "parameter"),
    **dict.fromkeys(("jobs", "launches", "succeeded", "builds"), "job"),
    **dict.fromkeys(("projects", "by_project", "staying"), "project"),
    **dict.fromkeys(("trees", "queues"), "pipeline"),
    "event_delays": "connection",
}
"""Objects right under these keys have names as keys, of this kind; all others have fields."""
LABELS = frozenset({"label", "labels", "label_names", "votes"})
PATTERNS = frozenset({"url_pattern", "success_pattern", "failure_pattern", "subject", "status_url"})
STANDARD_LABELS = frozenset({"verified", "code-review", "workflow"})
WORDS = frozenset(
    {
        *(*MergeState, *MergeOutcome, *Precedence, *MergeMode, *DeliveryOutcome, *SearchKind),
        *(DEPENDENT, INDEPENDENT, SUPERCEDENT),
        *(*CLASSIC_EVENTS, *FURTHER_EVENTS, *EVENTS_WITHOUT_SUBJECT, *ZUUL_EVENTS),
        *("timer", "zuul", "gerrit", "linear", "exponential"),
        *("NEW", "MERGED", "ABANDONED", "DRAFT", "SUBMITTED", "OK", "MAY", "NEED", "REJECT", "IMPOSSIBLE"),
        *("READY", "NOT_READY", "CLOSED", "RULE_ERROR", "FORCED"),
        *("SUCCESS", "FAILURE", "ABORTED", "UNSTABLE", "CANCELED", "SKIPPED", "LOST", "NOT_BUILT", "NOT_REGISTERED"),
        *("EXCEPTION", "RETRY_LIMIT", "MERGER_FAILURE", "ERROR", "DISCONNECT"),
        *("", "noop", "submit", "failed", "master", "main", "change", "ref", "periodic", "/COMMIT_MSG", "Unknown"),
    }
)
OURS = re.compile(r"[\d,+*/ -]*|Z?[0-9a-f]{32}|refs/changes/\d+/\d+/\d+|mail \d+|(?:ZUUL_[A-Z_]*|(?:BASE_)?LOG_PATH)")
REVISION = re.compile(r"(I?)([0-9a-f]{40})")
PLACEHOLDER = re.compile(r"\{[a-z_.]+(?:\[(?:ZUUL_[A-Z_]*|(?:BASE_)?LOG_PATH)\])?\}")
MENTION = re.compile(r"(.+)/\+/(\d+)")
REF = re.compile(r"(refs/(?:heads|tags|zuul|meta|notes)/)(.+)")
PARTS = re.compile(r"(refresh|merged|overtake|build|merge|report):(.*)", re.DOTALL)


class Renamed(str):
    """A text that is in other words already."""

    __slots__ = ()


@dataclass(slots=True)
class OtherNames:
    """``salt`` is random, and never told: nobody can find out by trying whether a record has a certain revision."""

    salt: bytes
    _known: dict[str, str] = field(default_factory=dict)
    _counted: Counter[str] = field(default_factory=Counter)

    def value(self, value: Any, key: str = "") -> Any:
        """JSON in other words. ``key`` says what it is."""
        match value:
            case dict() if key in KEYED_BY_NAMES:
                kind = KEYED_BY_NAMES[key]
                return {self.text(name, kind): self.value(each) for name, each in value.items()}
            case dict():
                return {name: self.value(each, name) for name, each in value.items()}
            case list():
                return [self.value(each, "" if isinstance(each, dict) else key) for each in value]
            case str() if key == "_type" or isinstance(value, Renamed):
                return value
            case str():
                return self.text(value, key)
            case _:
                return value

    def text(self, text: str, key: str = "") -> str:
        if key in LABELS:
            return self._label(text)
        if text in WORDS or OURS.fullmatch(text):
            return text
        if key in PATTERNS:
            return self._once(text, key, lambda token: token + "".join(PLACEHOLDER.findall(text)))
        revision = REVISION.fullmatch(text)
        if revision:
            return text if revision[2] == NO_REVISION else revision[1] + self._digits(revision[2])
        if key == "commit_message":
            return self._once(text, key, lambda token: "\n\n".join([token, *self._footers(text)]))
        return self._composed(text, key)

    def _composed(self, text: str, key: str) -> str:
        ref, parts, host, mention = (
            each(text) for each in (REF.fullmatch, PARTS.fullmatch, HOST.match, MENTION.fullmatch)
        )
        if ref:
            branch, slash, state = ref[2].rpartition("/")
            if ref[1] == "refs/zuul/" and slash:
                return f"{ref[1]}{self.text(branch, 'branch')}/{self.text(state)}"
            return ref[1] + self.text(ref[2], "branch")
        if parts:
            return ":".join([parts[1], *(self.text(each) for each in parts[2].split(":", 1))])
        if host:
            return self._address(text, host[1])
        if mention:
            return f"{self.text(mention[1], 'project')}/+/{mention[2]}"
        return self._once(text, key, lambda token: token)

    def _address(self, text: str, host: str) -> str:
        """On another host; the number of a change stays."""
        number = next((found[2] for each in ADDRESSES if (found := each.fullmatch(text))), None)
        where = f"https://{self._once(host.lower(), 'host', lambda token: token)}.invalid/"
        return where + number if number else self._once(text, "url", lambda token: where + token)

    def _footers(self, text: str) -> list[str]:
        return [f"Depends-On: {self.text(change or address)}" for change, address in FOOTER.findall(text)]

    def _label(self, text: str) -> str:
        normal = normal_label(text)
        return text if normal in STANDARD_LABELS else self._once(f"label {normal}", "label", lambda token: token)

    def _digits(self, revision: str) -> str:
        return blake2b(revision.encode(), key=self.salt, digest_size=20).hexdigest()

    def _once(self, text: str, key: str, make: Callable[[str], str]) -> str:
        known = self._known.get(text)
        if known is None:
            kind = re.sub(r"[^a-z]+", "-", key.lower()).strip("-") or "name"
            self._counted[kind] += 1
            known = self._known[text] = make(f"{kind}-{self._counted[kind]}")
        return known

    def json(self, text: str, key: str = "") -> str:
        return json.dumps(self.value(json.loads(text), key))

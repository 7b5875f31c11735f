"""Where the live system and the shadow differ: what both said, paired, and made into differences. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise, zip_longest

from ci_gate.shadow.said import FINAL, Kind, Said, Side

SETTLE_S = 600.0
"""What one side has said waits so long for the other before it counts as alone."""
SUBMIT_S = 60.0  # for Gerrit to get from a report to a merged change


class Difference(StrEnum):
    """``NO_ANSWER``: the shadow tested it, and the live system said nothing of it in time."""

    ONLY_LIVE = "only the live system reported"
    ONLY_SHADOW = "only the shadow would have reported"
    NO_ANSWER = "no answer of the live system"
    JOBS = "other jobs"
    RESULT = "other result"
    VOTES = "other votes"
    SUBMIT = "other wish to merge"
    ORDER = "other order of merges"


@dataclass(frozen=True, slots=True)
class Found:
    """One difference. ``details`` and ``reasons`` are texts: what differs, and what the shadow had decided."""

    kind: Difference
    at: float
    project: str
    change: str
    pipeline: str | None
    details: tuple[str, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """``compared`` items were reported by both sides; ``equal`` of them alike. ``pending``: one side may still speak.

    ``by_kind`` counts differences; an item may have several.
    """

    compared: int
    equal: int
    pending: int
    differences: tuple[Found, ...]
    by_kind: Mapping[Difference, int] = field(default_factory=dict)

    @property
    def no_answer(self) -> int:
        return self.by_kind.get(Difference.NO_ANSWER, 0)


Key = tuple[str, str, str, str | None]


def compare(said: Iterable[Said], now: float, *, pipeline: str | None = None) -> Comparison:
    """``said`` by both sides, in order of time; ``now`` is seconds since the epoch. ``pipeline``: of this one only."""
    everything = [each for each in said if pipeline in (None, each.pipeline) or each.kind is Kind.MERGED]
    merging = _merging(everything)
    pairs = [pair for key in _by_key(everything).values() for pair in _pairs(key)]
    differences: list[Found] = []
    compared = equal = pending = 0
    for live, shadow in pairs:
        if live is not None and shadow is not None and not shadow.is_unanswered:
            found = [*_differences(live, shadow), *_other_wish(live, shadow, merging, now)]
            compared += 1
            equal += not found
        elif _may_still_come(live, shadow, now):
            pending += 1
            continue
        else:
            found = list(_alone(live, shadow))
        differences += found
    differences += _other_orders(everything)
    differences.sort(key=lambda each: each.at)
    counts = Counter(each.kind for each in differences)
    return Comparison(compared, equal, pending, tuple(differences), dict(counts))


def _by_key(everything: Iterable[Said]) -> dict[Key, list[Said]]:
    found: dict[Key, list[Said]] = defaultdict(list)
    for each in everything:
        if each.kind in FINAL:
            found[each.connection, each.number, each.patchset, each.pipeline].append(each)
    return found


def _pairs(said: Sequence[Said]) -> Iterator[tuple[Said | None, Said | None]]:
    """What the shadow took its results from is its partner; of the rest the first of both sides, and so on."""
    live = {each.id: each for each in said if each.side is Side.LIVE}
    alone = []
    for each in said:
        if each.side is Side.SHADOW:
            partner = live.pop(each.answered_by, None)
            if partner is not None:
                yield partner, each
            elif each.is_unanswered:
                yield None, each
            else:
                alone.append(each)
    yield from zip_longest(live.values(), alone)


def _may_still_come(live: Said | None, shadow: Said | None, now: float) -> bool:
    """The shadow, if it has the patch set, speaks after the live system, which may be slower to find a conflict."""
    if live is not None and shadow is None:
        return live.inside and now - live.at < SETTLE_S
    return shadow is not None and live is None and not shadow.is_unanswered and now - shadow.at < SETTLE_S


# --- one item ---


def _alone(live: Said | None, shadow: Said | None) -> Iterator[Found]:
    if live is not None and shadow is None:
        yield _found(Difference.ONLY_LIVE, live, [f"live: {_in_words(live)}"], live.decisions)
    elif shadow is not None and live is None:
        kind = Difference.NO_ANSWER if shadow.is_unanswered else Difference.ONLY_SHADOW
        words = f"jobs {_names(shadow)}" if shadow.is_unanswered else _in_words(shadow)
        yield _found(kind, shadow, [f"shadow: {words}"], shadow.decisions)
    elif live is not None and shadow is not None:
        details = [f"live: {_in_words(live)}", f"shadow: would have tested it by {_names(shadow)}"]
        yield _found(Difference.RESULT, shadow, details, shadow.decisions)


def _differences(live: Said, shadow: Said) -> Iterator[Found]:
    jobs = list(_other_jobs(live, shadow))
    if jobs:
        yield _found(Difference.JOBS, shadow, jobs, shadow.decisions)
    results = list(_other_results(live, shadow))
    if results:
        yield _found(Difference.RESULT, shadow, results, shadow.decisions)
    votes = list(_other_votes(live, shadow))
    if votes:
        yield _found(Difference.VOTES, shadow, votes, shadow.decisions)


def _merging(everything: Iterable[Said]) -> frozenset[str]:
    """The ids of those live reports with which the live system has merged a change: the last success before it."""
    last: dict[tuple[str, str], str] = {}
    found = set()
    for each in everything:
        change = each.connection, each.change
        if each.side is Side.LIVE and each.kind is Kind.SUCCEEDED:
            last[change] = each.id
        elif each.kind is Kind.MERGED and each.submit and change in last:
            found.add(last[change])
    return frozenset(found)


def _other_wish(live: Said, shadow: Said, merging: Collection[str], now: float) -> Iterator[Found]:
    if live.id in merging and not shadow.submit:
        yield _found(Difference.SUBMIT, shadow, ["live: merged it", "shadow: would not merge it"], shadow.decisions)
    elif shadow.submit and live.id not in merging and now - live.at >= SUBMIT_S:
        yield _found(Difference.SUBMIT, shadow, ["live: did not merge it", "shadow: would merge it"], shadow.decisions)


def _other_jobs(live: Said, shadow: Said) -> Iterator[str]:
    theirs, ours = ({job.job: job for job in each.jobs} for each in (live, shadow))
    if not theirs and live.kind in {Kind.UNMERGED, Kind.UNTESTED}:
        return  # no jobs are named there: that is told as another result
    if not ours and shadow.kind in {Kind.UNMERGED, Kind.UNTESTED}:
        return
    for name in sorted(theirs.keys() - ours.keys()):
        yield f"only the live system runs {name}"
    for name in sorted(ours.keys() - theirs.keys()):
        yield f"only the shadow runs {name}"
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name].voting != theirs[name].voting:
            words = ("votes", "does not vote") if ours[name].voting else ("does not vote", "votes")
            yield f"{name} {words[0]} in the shadow and {words[1]} in the live system"


def _other_results(live: Said, shadow: Said) -> Iterator[str]:
    if live.kind is not shadow.kind:
        yield f"live: {live.kind}, shadow: {shadow.kind}"
    theirs = {job.job: job.result for job in live.jobs}
    for job in shadow.jobs:
        if theirs.get(job.job, job.result) != job.result:
            yield f"{job.job}: live {theirs[job.job]}, shadow {job.result}"


def _other_votes(live: Said, shadow: Said) -> Iterator[str]:
    for label in sorted({*live.given, *shadow.votes}):
        theirs, ours = live.votes.get(label, 0), shadow.votes.get(label, 0)
        if theirs != ours:
            yield f"{label}: live {theirs:+d}, shadow {ours:+d}"


def _in_words(said: Said) -> str:
    votes = "".join(f" {label}{said.votes[label]:+d}" for label in sorted(said.given) if said.votes.get(label))
    jobs = ", ".join(f"{each.job} {each.result}" for each in said.jobs)
    return f"{said.kind}{votes}" + (f" ({jobs})" if jobs else "")


def _names(said: Said) -> str:
    return ", ".join(each.job for each in said.jobs)


def _found(kind: Difference, said: Said, details: Sequence[str], reasons: Sequence[str]) -> Found:
    return Found(kind, said.at, said.project, said.change, said.pipeline, tuple(details), tuple(reasons))


# --- the order of merges ---


def _other_orders(everything: Sequence[Said]) -> Iterator[Found]:
    """Of the changes of a project that both merged: those that the shadow would have merged before their forerunner."""
    live: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    shadow: dict[tuple[str, str], dict[str, Said]] = defaultdict(dict)
    for each in everything:
        place = each.connection, each.project
        if each.side is Side.LIVE and each.kind is Kind.MERGED:
            live[place].setdefault(each.change, each.at)
        elif each.side is Side.SHADOW and each.kind is Kind.SUCCEEDED and each.submit:
            shadow[place][each.change] = each
    for place, ours in shadow.items():
        both = [change for change in live[place] if change in ours]
        for former, latter in pairwise(both):
            if ours[latter].at < ours[former].at:
                details = [f"live: {former} before {latter}", f"shadow: {latter} before {former}"]
                yield _found(Difference.ORDER, ours[latter], details, ours[latter].decisions)

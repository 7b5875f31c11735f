"""Merges as jobs in Zuul's words (merger.md 2 and 3): what is asked, what is answered, whoever asks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from merger_world import ZUUL_URL, git, out, request

from ci_gate.config.settings import MergerSettings
from ci_gate.merger import wire
from ci_gate.merger.jobs import MergeJobs
from ci_gate.merger.remote import RemoteMerger
from ci_gate.model.build import Precedence
from ci_gate.model.merge import MergeMode, MergeOutcome, UpdateRequest

MODES = {MergeMode.MERGE: 1, MergeMode.MERGE_RESOLVE: 2, MergeMode.CHERRY_PICK: 3}


class Host:
    """A merger with a folder of its own, asked as a job server asks it."""

    def __init__(self, world, name: str = "host", url: str = ZUUL_URL) -> None:
        self.name = name
        self.url = url
        settings = MergerSettings(zuul_url=url)
        self._functions = MergeJobs(world.merger(name, settings, project_url=None), url).functions

    async def do(self, function: str, data: bytes) -> bytes:
        return await self._functions[function](data)

    async def ask(self, function: str, **values: object) -> dict[str, object]:
        return json.loads(await self.do(function, json.dumps(values).encode()))


@pytest.fixture
def upstream(world):
    return world.project("p1")


@pytest.fixture
def host(world):
    return Host(world)


def item(world, change, name: str, **fields: object) -> dict[str, object]:
    """As Zuul writes it."""
    return {
        "project": change.project,
        "url": world.url("", change.project),
        "connection_name": "gerrit",
        "merge_mode": 2,
        "refspec": change.ref,
        "branch": "master",
        "ref": name,
        "number": change.number,
        "patchset": "1",
        "oldrev": None,
        "newrev": None,
    } | fields


def kind(answer: dict[str, object]) -> object:
    return answer["error"]["kind"]


async def test_a_chain_over_two_projects_is_answered_with_the_last_commit(world, upstream, host):
    other = world.project("p2")
    first, second = upstream.change({"a": "x\n"}), other.change({"b": "x\n"})
    answer = await host.ask("merger:merge", items=[item(world, first, "Z1"), item(world, second, "Z2")])
    assert (answer["merged"], answer["commit"], answer["zuul_url"]) == (True, second.commit, ZUUL_URL)
    assert "error" not in answer
    assert world.refs("p1") == {"master/Z1": first.commit, "master/Z2": first.commit}
    assert world.refs("p2") == {"master/Z2": second.commit}


@pytest.mark.parametrize("mode", list(MODES))
async def test_each_mode_has_its_number(world, upstream, host, mode):
    change = upstream.change({"a": "x\n"})
    tip = upstream.push({"b": "x\n"})
    answer = await host.ask("merger:merge", items=[item(world, change, "Z1", merge_mode=MODES[mode])])
    parents = out(world.repository("p1"), "show", "-s", "--format=%P", str(answer["commit"])).split()
    assert parents == ([tip] if mode is MergeMode.CHERRY_PICK else [tip, change.commit])


async def test_what_was_merged_ahead_is_not_merged_again(world, upstream, host):
    changes = [upstream.change({f"f{number}": "x\n"}) for number in range(3)]
    items = [item(world, change, f"Z{number}") for number, change in enumerate(changes)]
    second = await host.ask("merger:merge", items=items[:2])
    upstream.push({"later": "x\n"})
    third = await host.ask("merger:merge", items=items)
    assert out(world.repository("p1"), "rev-parse", f"{third['commit']}^1") == second["commit"]


async def test_a_chain_without_its_merged_front_touches_only_what_is_left_of_it(world, upstream, host):
    other = world.project("p2")
    a, b, c = upstream.change({"a": "x\n"}), other.change({"b": "x\n"}), other.change({"c": "x\n"})
    items = [item(world, change, name) for change, name in ((a, "ZA"), (b, "ZB"), (c, "ZC"))]
    await host.ask("merger:merge", items=items[:2])
    await host.ask("merger:merge", items=items[1:])
    assert set(world.refs("p1")) == {"master/ZA", "master/ZB"}
    assert set(world.refs("p2")) == {"master/ZB", "master/ZC"}


async def test_a_repeat_without_the_merged_front_is_answered_as_the_first_time(world, upstream, host):
    other = world.project("p2")
    a, b, c = upstream.change({"a": "x\n"}), other.change({"b": "x\n"}), upstream.change({"c": "x\n"})
    items = [item(world, change, name) for change, name in ((a, "ZA"), (b, "ZB"), (c, "ZC"))]
    await host.ask("merger:merge", items=items[:2])
    tip = upstream.push({"a": "x\n"})
    answer = await host.ask("merger:merge", items=items[1:])
    assert out(world.repository("p1"), "rev-parse", f"{answer['commit']}^1") == tip
    assert (await host.ask("merger:merge", items=items[1:]))["commit"] == answer["commit"]


async def test_a_state_that_the_merger_before_us_left_is_stood_upon(world, upstream, host):
    first, second = upstream.change({"a": "x\n"}), upstream.change({"b": "x\n"})
    await host.ask("merger:update", project="p1", connection_name="gerrit", url=world.url("", "p1"))
    repository = world.repository("p1")
    git(repository, "fetch", "-q", world.url("", "p1"), first.ref)
    parents = ("-p", upstream.tip(), "-p", first.commit)
    left = out(repository, "commit-tree", *parents, "-m", "x", f"{first.commit}^{{tree}}")
    git(repository, "update-ref", "refs/zuul/master/Z1", left)
    answer = await host.ask("merger:merge", items=[item(world, first, "Z1"), item(world, second, "Z2")])
    assert out(repository, "rev-parse", f"{answer['commit']}^1") == left
    assert world.refs("p1")["master/Z1"] == left


async def test_a_name_that_is_there_on_other_parents_is_refused(world, upstream, host):
    first, second = upstream.change({"a": "x\n"}), upstream.change({"b": "x\n"})
    await host.ask("merger:merge", items=[item(world, second, "Z2")])
    answer = await host.ask("merger:merge", items=[item(world, first, "Z1"), item(world, second, "Z2")])
    assert (answer["merged"], answer["commit"], kind(answer)) == (False, None, "internal")


async def test_a_conflict_names_the_files(world, upstream, host):
    first, second = upstream.change({"README": "x\n"}), upstream.change({"README": "y\n"})
    answer = await host.ask("merger:merge", items=[item(world, first, "Z1"), item(world, second, "Z2")])
    assert (answer["merged"], answer["commit"], answer["zuul_url"]) == (False, None, ZUUL_URL)
    assert (kind(answer), answer["error"]["paths"]) == ("conflict", ["README"])
    assert set(world.refs("p1")) == {"master/Z1"}, "what was made so far stays"


async def test_other_failures_have_other_kinds(world, upstream, host, tmp_path):
    change = upstream.change({"a": "x\n"})
    cases = {
        "missing-ref": {"refspec": "refs/changes/99/99/1"},
        "missing-branch": {"branch": "nowhere"},
        "fetch": {"project": "p9", "url": str(tmp_path / "nowhere")},
        "internal": {"project": "p9", "url": None},
    }
    for number, (wanted, fields) in enumerate(cases.items()):
        answer = await host.ask("merger:merge", items=[item(world, change, f"Z{number}", **fields)])
        assert (answer["merged"], kind(answer)) == (False, wanted), fields


@pytest.mark.parametrize(
    "fields",
    [
        {"merge_mode": 4},
        {"merge_mode": "2"},
        {"project": "../x"},
        {"project": "a/../../x"},
        {"project": ""},
        {"branch": None},
        {"ref": "../Z"},
        {"refspec": "--upload-pack=touch x"},
        {"refspec": "refs/heads/master"},
        {"url": "ext::sh -c 'touch hacked'"},
        {"url": "--upload-pack=touch hacked"},
    ],
)
async def test_what_is_wrong_or_hostile_is_answered_and_does_nothing(world, upstream, host, fields, tmp_path):
    change = upstream.change({"a": "x\n"})
    answer = await host.ask("merger:merge", items=[item(world, change, "Z1", **fields)])
    assert answer["merged"] is False
    assert kind(answer) in ("internal", "fetch")
    assert not list(tmp_path.rglob("hacked"))
    assert sorted(each.name for each in tmp_path.iterdir()) in (["upstream"], ["host", "upstream"])


GARBAGE = [b"", b"[]", b"{", b'{"items": 1}', b'{"items": []}', b'{"items": [1]}', b"[" * 100_000]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage_is_answered(host, data):
    answer = json.loads(await host.do("merger:merge", data))
    assert (answer["merged"], kind(answer)) == (False, "internal")


async def test_keys_that_are_not_known_are_passed_over(world, upstream, host):
    change = upstream.change({"a": "x\n"})
    answer = await host.ask("merger:merge", items=[item(world, change, "Z1", colour="blue")], size=3)
    assert answer["merged"] is True


async def test_an_update_brings_the_branches_and_is_always_answered_alike(world, upstream, host):
    moved = upstream.push({"a": "x\n"})
    answer = await host.ask("merger:update", project="p1", connection_name="gerrit", url=world.url("", "p1"))
    assert answer == {"updated": True, "zuul_url": ZUUL_URL}
    assert out(world.repository("p1"), "rev-parse", "refs/heads/master") == moved
    answer = await host.ask("merger:update", project="p1", connection_name="gerrit", url="/nowhere")
    assert (answer["updated"], kind(answer)) == (True, "fetch")


async def test_updates_of_several_projects_go_on_side_by_side(world, upstream, host):
    other = world.project("p2")
    projects = (upstream, other)
    asked = [{"project": each.project, "connection_name": "gerrit", "url": str(each.path)} for each in projects]
    answers = await asyncio.gather(*(host.ask("merger:update", **each) for each in asked * 2))
    assert answers == [{"updated": True, "zuul_url": ZUUL_URL}] * 4


async def test_the_repository_follows_the_url_of_the_request(world, upstream, host):
    await host.ask("merger:update", project="p1", connection_name="gerrit", url=world.url("", "p1"))
    moved = world.project("moved")
    tip = moved.push({"elsewhere": "x\n"})
    await host.ask("merger:update", project="p1", connection_name="gerrit", url=world.url("", "moved"))
    assert out(world.repository("p1"), "rev-parse", "refs/heads/master") == tip
    assert out(world.repository("p1"), "config", "remote.origin.url") == world.url("", "moved")


async def test_what_is_inside_is_understood_or_nothing_is_deleted(world, upstream, host):
    await host.ask("merger:merge", items=[item(world, upstream.change({"a": "x\n"}), "Z1")])
    for data in (b"{}", b"", b'{"inside": ["Z1"]}'):
        await host.do(f"merger:retain:{ZUUL_URL}", data)
    assert set(world.refs("p1")) == {"master/Z1"}


# --- the service's side ---


class Hosts:
    """Jobs for a remote merger: the first host takes all until it is gone."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = list(hosts)
        self.asked: list[dict] = []

    async def run(self, function: str, data: bytes, _: Precedence, *, once: bool = False) -> bytes:
        self.asked.append(json.loads(data))
        if function.startswith(wire.RETAIN):
            return await next(each for each in self.hosts if function.endswith(each.url)).do(function, data)
        return await self.hosts[0].do(function, data)

    async def offered(self) -> dict[str, int]:
        return {f"{wire.RETAIN}{each.url}": 1 for each in self.hosts} | {"build:x": 1, f"{wire.RETAIN}gone": 0}


class ZuulsMerger:
    """Knows no more than Zuul's: what ci-gate adds is neither read nor answered."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def do(self, function: str, data: bytes) -> bytes:
        asked = json.loads(data)
        for each in asked.get("items", [asked]):
            for key in ("revision", "tip", "base"):
                each.pop(key, None)
        if function == wire.UPDATE:
            asked.pop("branch", None)
        answer = json.loads(await self._host.do(function, json.dumps(asked).encode()))
        return json.dumps({key: answer.get(key) for key in ("merged", "commit", "updated", "zuul_url")}).encode()


def remote(world, jobs: Hosts) -> RemoteMerger:
    return RemoteMerger(jobs, world.root / "merges", world.url)


async def merge_linked(merger, *requests):
    """Each change with its name, as the scheduler asks: one link of the chain after the other."""
    answers, ahead = [], None
    for depth, (change, name) in enumerate(requests, 1):
        answers.append(await merger.merge(request(change, name, ahead, depth=depth, revision=change.commit)))
        ahead = name
    return answers


@pytest.fixture
def two_hosts(world):
    return Hosts(Host(world, "one", "http://one/p"), Host(world, "two", "http://two/p"))


async def test_a_link_of_a_chain_goes_out_as_the_whole_chain(world, upstream, two_hosts):
    chain = [(upstream.change({f"f{number}": "x\n"}), f"Z{number}") for number in range(3)]
    answers = await merge_linked(remote(world, two_hosts), *chain)
    assert [len(each["items"]) for each in two_hosts.asked] == [1, 2, 3]
    assert {each.outcome for each in answers} == {MergeOutcome.MERGED}
    assert {each.url for each in answers} == {"http://one/p"}
    assert out(world.repository("p1", "one"), "rev-parse", f"{answers[2].commit}^1") == answers[1].commit


async def test_a_chain_that_moves_to_another_host_is_made_of_the_same_commits(world, upstream, two_hosts):
    upstream.push({"base": "x\n"})
    chain = [(upstream.change({f"f{number}": "x\n"}, onto="stable"), f"Z{number}") for number in range(3)]
    merger = remote(world, two_hosts)
    answers = await merge_linked(merger, *chain[:2])
    upstream.push({"later": "x\n"})
    two_hosts.hosts.reverse()
    last = await merger.merge(request(chain[2][0], "Z2", "Z1", depth=3, revision=chain[2][0].commit))
    assert last.url == "http://two/p"
    assert out(world.repository("p1", "two"), "rev-parse", f"{last.commit}^1") == answers[1].commit


async def test_what_was_asked_before_a_restart_is_remembered(world, upstream, two_hosts):
    chain = [(upstream.change({f"f{number}": "x\n"}), f"Z{number}") for number in range(2)]
    await merge_linked(remote(world, two_hosts), chain[0])
    answer = await remote(world, two_hosts).merge(request(chain[1][0], "Z1", "Z0", depth=2))
    assert answer.outcome is MergeOutcome.MERGED
    unknown = await remote(world, two_hosts).merge(request(chain[1][0], "Z9", "Z8", depth=2))
    assert (unknown.outcome, "Z8" in unknown.detail) == (MergeOutcome.INTERNAL, True)


async def test_what_another_service_has_asked_for_is_begun_where_it_was_begun_then(world, upstream, two_hosts):
    base = out(upstream.path, "rev-parse", "HEAD")
    change, other = (upstream.change({name: "x\n"}) for name in "ab")
    upstream.push({"later": "x\n"})
    merger = remote(world, two_hosts)
    await merger.merge(replace(request(change, "Z0", depth=1), base=base))
    assert two_hosts.asked[-1]["items"][0]["base"] == base
    assert (await merger.merge(request(other, "Z1", "Z0", depth=2))).outcome is MergeOutcome.MERGED


async def test_a_merged_front_is_not_sent_again_and_the_rest_begins_on_the_new_tip(world, upstream, two_hosts):
    a, b, c = (upstream.change({name: "x\n"}) for name in "abc")
    merger = remote(world, two_hosts)
    await merge_linked(merger, (a, "ZA"), (b, "ZB"))
    git(upstream.path, "merge", "-q", a.commit)
    two_hosts.hosts.reverse()
    answer = await merger.merge(request(c, "ZC", "ZB", depth=2))
    items = two_hosts.asked[-1]["items"]
    assert [each["ref"] for each in items] == ["ZB", "ZC"]
    assert "base" not in items[0], "it was not begun with B"
    assert {"a", "b", "c"} <= set(
        out(world.repository("p1", "two"), "ls-tree", "--name-only", answer.commit).splitlines()
    )


async def test_zuuls_mergers_do_as_well(world, upstream, two_hosts):
    two_hosts.hosts[0] = ZuulsMerger(two_hosts.hosts[0])
    merger = remote(world, two_hosts)
    first, second = upstream.change({"README": "x\n"}), upstream.change({"README": "y\n"})
    merged, conflict = await merge_linked(merger, (first, "Z1"), (second, "Z2"))
    assert (merged.outcome, merged.commit) == (MergeOutcome.MERGED, first.commit)
    assert conflict.outcome is MergeOutcome.CONFLICT
    update = UpdateRequest("U1", "gerrit", "p1")
    assert (await merger.update(update)).outcome is MergeOutcome.MERGED
    assert await merger.contains(update, "master", first.commit), "they cannot tell: Gerrit's word has to do"


async def test_whether_a_branch_has_a_change_is_asked_of_the_mergers(world, upstream, two_hosts):
    merger = remote(world, two_hosts)
    change = upstream.change({"a": "x\n"})
    update = UpdateRequest("U1", "gerrit", "p1")
    assert not await merger.contains(update, "master", change.commit)
    git(upstream.path, "merge", "-q", change.commit)
    assert await merger.contains(update, "master", change.commit)


async def test_every_merger_is_told_what_is_inside(world, upstream, two_hosts):
    await remote(world, two_hosts).retain(["Z1"])
    assert two_hosts.asked == [{"inside": ["Z1"]}, {"inside": ["Z1"]}]

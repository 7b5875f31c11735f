"""Section H of ``spec/walkthroughs.md``, W80 and W81: what is merged, and which refs are there afterwards."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from merger_world import ZUUL_URL, git, lines, merge_chain, out, request

from ci_gate.config.settings import MergerSettings
from ci_gate.model.merge import BaseCommit, MergeMode, MergeOutcome, UpdateRequest

CHERRY_PICK, MERGE = MergeMode.CHERRY_PICK, MergeMode.MERGE


@pytest.fixture
def site(world):
    """Projects p1 and p2, the changes of section H, and their requests: ``zA`` asks for A, and so on."""
    p1, p2 = world.project("p1"), world.project("p2")
    a, b = p1.change({"a": "A"}), p2.change({"b": "B"})
    c, d = p1.change({"c": "C"}, onto="stable"), p1.change({"d": "D"})
    x, y = p1.change({"README": lines(line_5="X")}), p1.change({"README": lines(line_5="Y")})
    return SimpleNamespace(
        p1=p1,
        p2=p2,
        a=a,
        b=b,
        c=c,
        d=d,
        x=x,
        y=y,
        za=request(a, "zA"),
        zb=request(b, "zB"),
        zc=request(c, "zC", branch="stable"),
        zd=request(d, "zD"),
    )


async def test_w52_one_change_on_the_tip_is_its_own_commit(world, site):
    answer = await world.merger().merge(site.za)
    assert (answer.outcome, answer.commit, answer.url) == (MergeOutcome.MERGED, site.a.commit, ZUUL_URL)
    assert answer.bases == (BaseCommit("p1", "master", site.p1.tip()),)
    assert world.refs("p1") == {"master/zA": site.a.commit}


async def test_w53_a_chain_over_two_projects_is_published_in_both(world, site):
    answer = await merge_chain(world.merger(), site.za, site.zb)
    assert answer.commit == site.b.commit
    assert world.refs("p2") == {"master/zB": site.b.commit}
    assert world.refs("p1") == {"master/zA": site.a.commit, "master/zB": site.a.commit}


async def test_w54_branches_of_one_project_are_independent_states(world, site):
    answer = await merge_chain(world.merger(), site.za, site.zb, site.zc)
    assert answer.commit == site.c.commit
    p1, p2 = world.refs("p1"), world.refs("p2")
    assert (p1["stable/zC"], p1["master/zC"]) == (site.c.commit, site.a.commit)
    assert p2["master/zC"] == site.b.commit
    assert {(each.project, each.branch) for each in answer.bases} == {
        ("p1", "master"),
        ("p1", "stable"),
        ("p2", "master"),
    }


async def test_w55_the_second_change_of_a_branch_is_merged_onto_the_first(world, site):
    answer = await merge_chain(world.merger(), site.za, site.zb, site.zd)
    repository = world.repository("p1")
    assert out(repository, "rev-parse", f"{answer.commit}^1", f"{answer.commit}^2").split() == [
        site.a.commit,
        site.d.commit,
    ]
    assert world.refs("p1")["master/zD"] == answer.commit
    assert world.refs("p2")["master/zD"] == site.b.commit
    assert not [each for each in world.refs("p1") if each.startswith("stable/")]


async def test_w56_a_conflict_names_the_file_and_publishes_nothing(world, site):
    answer = await merge_chain(world.merger(), request(site.x, "zX"), request(site.y, "zY"))
    assert (answer.outcome, answer.commit, answer.paths) == (MergeOutcome.CONFLICT, None, ("README",))
    assert world.refs("p1") == {"master/zX": site.x.commit}


async def test_w57_a_change_that_is_not_upstream_is_a_missing_ref(world, site):
    answer = await world.merger().merge(request(site.a, "zE", refspec="refs/changes/99/99/1"))
    assert answer.outcome is MergeOutcome.MISSING_REF
    assert "refs/changes/99/99/1" in answer.detail
    assert world.refs("p1") == {}


async def test_w58_picking_a_change_twice_leaves_nothing_to_apply(world, site):
    merger = world.merger()
    first = await merger.merge(request(site.d, "zF", mode=CHERRY_PICK))
    answer = await merge_chain(merger, request(site.d, "zG", mode=CHERRY_PICK), request(site.d, "zI", mode=CHERRY_PICK))
    assert first.outcome is MergeOutcome.MERGED
    assert (answer.outcome, answer.paths) == (MergeOutcome.CONFLICT, ())
    assert set(world.refs("p1")) == {"master/zF", "master/zG"}


async def test_w59_merging_a_change_twice_changes_nothing(world, site):
    answer = await merge_chain(world.merger(), request(site.d, "zK", mode=MERGE), request(site.d, "zL", mode=MERGE))
    assert answer.outcome is MergeOutcome.MERGED
    assert world.refs("p1") == {"master/zK": site.d.commit, "master/zL": site.d.commit}


async def test_w60_a_chain_does_not_move_when_its_branch_moves(world, site):
    merger = world.merger()
    await merger.merge(site.za)
    moved = site.p1.push({"t": "T"})
    answer = await merge_chain(merger, site.za, request(site.d, "zJ"))
    repository = world.repository("p1")
    assert out(repository, "rev-parse", f"{answer.commit}^1") == site.a.commit
    assert git(repository, "merge-base", "--is-ancestor", moved, answer.commit, check=False).returncode != 0
    assert world.refs("p1") == {"master/zA": site.a.commit, "master/zJ": answer.commit}


async def test_w61_another_host_makes_the_chain_on_its_own_view_of_the_tip(world, site):
    identity = MergerSettings(git_user_name="Gate", git_user_email="gate@example.org")
    first = await merge_chain(world.merger(), site.za, request(site.d, "zJ"))
    moved = site.p1.push({"t": "T"})
    answer = await merge_chain(world.merger("other", identity), site.za, request(site.d, "zJ"))
    repository = world.repository("p1", "other")
    assert answer.commit != first.commit
    assert set(world.refs("p1", "other")) == {"master/zA", "master/zJ"}
    assert world.refs("p1", "other")["master/zA"] != world.refs("p1")["master/zA"]
    assert answer.bases == (BaseCommit("p1", "master", moved),)
    parents = out(repository, "rev-parse", f"{answer.commit}^1^1", f"{answer.commit}^1^2", f"{answer.commit}^2")
    assert parents.split() == [moved, site.a.commit, site.d.commit]
    assert out(repository, "log", "-1", "--format=%an <%ae> %cn <%ce>", answer.commit) == (
        "Gate <gate@example.org> Gate <gate@example.org>"
    )


async def test_w62_unmerged_parents_come_with_a_change(world, site):
    p = site.p1.change({"p": "P"}, onto=site.a.commit)
    answer = await world.merger().merge(request(p, "zP"))
    assert answer.commit == p.commit
    assert world.show(answer.commit, "a") == "A"
    assert world.refs("p1") == {"master/zP": p.commit}


async def test_w63_a_branch_that_was_deleted_upstream_is_missing(world, site):
    git(site.p1.path, "branch", "gone")
    merger = world.merger()
    assert (await merger.update(UpdateRequest("zU", "gerrit", "p1"))).outcome is MergeOutcome.MERGED
    git(site.p1.path, "branch", "-D", "gone")
    answer = await merger.merge(request(site.d, "zQ", branch="gone"))
    assert answer.outcome is MergeOutcome.MISSING_BRANCH
    assert answer.detail == "p1 has no branch gone"
    assert world.refs("p1") == {}


async def test_w80_a_push_after_an_update_does_not_stop_merging(world, site):
    merger = world.merger()
    await merger.update(UpdateRequest("zU", "gerrit", "p1"))
    moved = site.p1.push({"t": "T"})
    answer = await merger.merge(site.za)
    assert out(world.repository("p1"), "rev-parse", f"{answer.commit}^1") == moved


async def test_w81_a_tag_that_moved_upstream_moves_here(world, site):
    git(site.p1.path, "tag", "v1", "stable")
    merger = world.merger()
    await merger.merge(site.za)
    moved = site.p1.push({"t": "T"})
    git(site.p1.path, "tag", "-f", "v1", "master")
    answer = await merger.merge(site.zd)
    assert answer.outcome is MergeOutcome.MERGED
    assert out(world.repository("p1"), "rev-parse", "refs/tags/v1") == moved

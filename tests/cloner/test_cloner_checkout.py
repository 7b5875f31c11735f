"""What is checked out: every row of the table in merger.md 9, every fall-back, and every case without one."""

from __future__ import annotations

import pytest
from aiohttp import web
from cloner_site import NAME, Site, git, serving

# --- the table ---


def test_a_project_of_the_chain_gets_its_merged_state(site):
    state = site.merged("org/app", "master")
    site.build()
    site.prepared("org/app")
    assert site.head() == state


def test_a_project_outside_the_chain_gets_the_tip_of_the_branch(site):
    site.merged("org/app", "master")
    site.known_to_merger("org/lib")
    site.build()
    ended = site.prepared("org/app", "org/lib")
    assert site.head("org/lib") == site.tip("org/lib", "master")
    assert f"org/lib: {site.merger_url}/org/lib has no refs/zuul/master/{NAME}" in ended.log


def test_a_project_that_the_merger_was_never_asked_for_gets_the_tip_of_the_branch(site):
    site.merged("org/app", "master")
    site.build()
    ended = site.prepared("org/app", "org/lib")
    assert site.head("org/lib") == site.tip("org/lib", "master")
    assert f"org/lib: {site.merger_url}/org/lib is not there: the merger was never asked for it" in ended.log


def test_a_project_outside_the_chain_gets_the_same_branch_if_it_has_it(site):
    site.merged("org/app", "stable")
    site.build(branch="stable")
    site.prepared("org/lib")
    assert site.head("org/lib") == site.tip("org/lib", "stable")


def test_another_branch_can_be_wanted_of_which_the_chain_has_a_state(site):
    site.merged("org/app", "master")
    stable = site.merged("org/lib", "stable")
    site.build()
    site.prepared("--branch", "stable", "org/lib")
    assert site.head("org/lib") == stable


def test_a_wanted_branch_that_upstream_lacks_falls_back_to_the_merged_state_of_master(site):
    state = site.merged("org/app", "master")
    site.build()
    ended = site.prepared("--branch", "gone", "org/app")
    assert site.head() == state
    told = [line.partition("org/app: ")[2] for line in ended.log.splitlines() if "org/app: " in line]
    assert told[1:-1] == [
        f"trying refs/zuul/gone/{NAME} from {site.merger_url}/org/app",
        f"{site.merger_url}/org/app has no refs/zuul/gone/{NAME}",
        "upstream has no branch gone: falling back to master",
        f"trying refs/zuul/master/{NAME} from {site.merger_url}/org/app",
    ]


def test_without_one_a_wanted_branch_that_upstream_lacks_falls_back_to_the_tip_of_master(site):
    site.merged("org/app", "master")
    site.known_to_merger("org/lib")
    site.build()
    site.prepared("--branch", "gone", "org/lib")
    assert site.head("org/lib") == site.tip("org/lib", "master")


def test_the_branch_of_one_project_concerns_no_other(site):
    state = site.merged("org/app", "master")
    stable = site.merged("org/lib", "stable")
    site.build()
    site.prepared("--project-branch", "org/lib=stable", "org/app", "org/lib")
    assert (site.head("org/app"), site.head("org/lib")) == (state, stable)


def test_without_a_build_master_is_taken(site):
    site.prepared("org/app")
    assert site.head() == site.tip("org/app", "master")


def test_without_a_build_the_wanted_branch_is_taken(site):
    site.prepared("--branch", "stable", "org/app")
    assert site.head() == site.tip("org/app", "stable")


# --- which branch ---


def test_the_branch_of_a_project_comes_before_that_of_all_and_that_before_the_change_s(site):
    for project in ("org/app", "org/lib"):
        site.commit(project, "other")
    site.build(branch="master")
    site.merged("org/app", "master", name="Zelse")
    site.prepared("--branch", "stable", "--project-branch", "org/app=other", "org/app", "org/lib")
    assert site.head("org/app") == site.tip("org/app", "other")
    assert site.head("org/lib") == site.tip("org/lib", "stable")


def test_a_branch_given_for_a_project_that_is_not_cloned_is_told(site):
    assert "--project-branch names org/typo" in site.prepared("--project-branch", "org/typo=x", "org/app").log


def test_upstream_s_default_branch_is_taken_where_there_is_no_master(site):
    site.project("org/new", "main", "other")
    site.prepared("--branch", "gone", "org/new")
    assert site.head("org/new") == site.tip("org/new", "main")


def test_master_is_taken_where_there_are_both(site):
    site.project("org/new", "main", "master")
    site.prepared("org/new")
    assert site.head("org/new") == site.tip("org/new", "master")


def test_a_merged_state_of_upstream_s_default_branch_is_found_from_a_branch_that_is_gone(site):
    site.project("org/new", "main")
    site.merged("org/app", "master")
    git(site.upstream / "org/new/.git", "branch", "master", "main")
    state = site.merged("org/new", "main")
    git(site.upstream / "org/new/.git", "branch", "-D", "master")
    site.build()
    site.prepared("--branch", "gone", "org/new")
    assert site.head("org/new") == state


def test_an_upstream_without_any_branch_is_an_error(site):
    git(site.folder, "init", "-q", "--bare", str(site.upstream / "org/empty/.git"))
    assert "org/empty: upstream has no branch master" in site.refused("org/empty")


@pytest.mark.parametrize("branch", ["a.b", "a+b", "(x)", "zuul", "Z0f0f", "feature/a.b", "release/1.2", "x$", "r"])
def test_branches_may_have_any_name(site, branch):
    """The branch's part of the ref is exchanged, whatever else looks like it."""
    site.commit("org/lib", branch)
    site.merged("org/app", branch)
    state = site.merged("org/lib", "master")
    same = site.merged("org/lib", branch)
    site.build(branch=branch)
    site.prepared("org/lib")
    assert site.head("org/lib") == same
    site.prepared("--branch", "master", "org/lib")
    assert site.head("org/lib") == state


# --- exactly one revision ---


def test_the_revision_of_an_updated_ref_is_checked_out_exactly(site):
    site.known_to_merger("org/app")
    old = site.tip("org/app", "master")
    site.commit("org/app", "master")
    site.variables = {
        "ZUUL_URL": site.merger_url,
        "ZUUL_PROJECT": "org/app",
        "ZUUL_REF": "refs/heads/master",
        "ZUUL_NEWREV": old,
    }
    site.prepared("org/app", "org/lib")
    assert site.head("org/app") == old
    assert site.head("org/lib") == site.tip("org/lib", "master")


def test_a_revision_of_a_ref_that_only_the_merger_has_is_fetched_from_there(site):
    state = site.merged("org/app", "master")
    site.build(ZUUL_NEWREV=state)
    site.prepared("org/app")
    assert site.head() == state


def test_a_revision_that_the_ref_has_not_is_an_error(site):
    site.known_to_merger("org/app")
    site.build(ZUUL_REF="refs/heads/master", ZUUL_NEWREV="12" * 20)
    assert "revision " + "12" * 20 + " is neither in" in site.refused("org/app")
    assert not (site.workspace / "org/app").exists()


def test_a_revision_of_a_ref_that_is_gone_is_an_error(site):
    site.known_to_merger("org/app")
    site.build(ZUUL_REF="refs/heads/gone", ZUUL_NEWREV=site.tip("org/app", "master"))
    assert "cannot fetch refs/heads/gone" in site.refused("org/app")
    assert not (site.workspace / "org/app").exists()


def test_a_revision_alone_is_taken_from_upstream_s_branches(site):
    old = site.tip("org/app", "stable")
    site.commit("org/app", "stable")
    site.prepared("--zuul-newrev", old, "--zuul-project", "org/app", "org/app")
    assert site.head() == old


# --- where it comes from ---


def test_the_project_of_the_change_has_the_merger_as_its_origin_and_others_upstream(site):
    site.merged("org/app", "master")
    site.merged("org/lib", "master")
    site.build()
    site.prepared("org/app", "org/lib")
    assert site.origin("org/app") == f"{site.merger_url}/org/app"
    assert site.origin("org/lib") == f"{site.base}/org/lib"


def test_other_refs_than_those_of_the_merger_come_from_upstream(site):
    """As in a job that runs after a branch was updated: the ref is the branch."""
    site.known_to_merger("org/app")
    site.known_to_merger("org/lib")
    newer = site.commit("org/lib", "master")
    site.build(ZUUL_REF="refs/heads/master", ZUUL_NEWREV=site.tip("org/app", "master"))
    site.prepared("org/app", "org/lib")
    assert site.head("org/lib") == newer


def test_options_win_over_the_environment(site):
    state = site.merged("org/lib", "stable", name="Zother")
    site.build(project="org/nowhere", ZUUL_NEWREV="12" * 20)
    options = ["--zuul-branch=stable", "--zuul-ref=refs/zuul/stable/Zother", "--zuul-project=org/lib"]
    site.prepared(*options, f"--zuul-url={site.merger_url}/", "--zuul-newrev=", "org/lib")
    assert site.head("org/lib") == state


def test_empty_variables_count_as_none(site):
    site.variables = dict.fromkeys(["ZUUL_URL", "ZUUL_PROJECT", "ZUUL_BRANCH", "ZUUL_REF", "ZUUL_NEWREV"], "")
    site.prepared("org/app")
    assert site.head() == site.tip("org/app", "master")


# --- when there is no next step ---


def test_a_merger_that_cannot_be_reached_is_an_error(site):
    site.build(project="org/other", ZUUL_URL="http://127.0.0.1:1/p")
    log = site.refused("org/lib")
    assert f"org/lib: cannot fetch refs/zuul/master/{NAME} from http://127.0.0.1:1/p/org/lib" in log
    assert "Failed to connect" in log
    assert not (site.workspace / "org/lib").exists()


def test_a_merger_that_fails_is_an_error(tmp_path):
    @web.middleware
    async def break_down(request, handler):
        if request.path.startswith("/p/"):
            raise web.HTTPInternalServerError
        return await handler(request)

    with serving(tmp_path, break_down) as url:
        site = Site(tmp_path, url)
        site.project("org/lib")
        site.build(project="org/app")
        assert "500" in site.refused("org/lib")
    assert not (site.workspace / "org/lib").exists()


def test_a_merger_that_is_busy_is_asked_again(tmp_path):
    busy = [True, True]

    @web.middleware
    async def be_busy(request, handler):
        if request.path.startswith("/p/") and busy:
            busy.pop()
            raise web.HTTPServiceUnavailable
        return await handler(request)

    with serving(tmp_path, be_busy) as url:
        site = Site(tmp_path, url)
        site.project("org/lib")
        state = site.merged("org/lib", "master")
        site.build(project="org/app")
        assert "503; trying again in 1 s" in site.prepared("org/lib").log
    assert site.head("org/lib") == state


@pytest.mark.parametrize("url", ["{server}/typo", "{folder}/nowhere", "file://{folder}/nowhere"])
def test_a_wrong_address_of_the_merger_is_an_error(site, url):
    """It has not got the project that the change is of, so that it cannot be the merger."""
    site.build(project="org/app", ZUUL_URL=url.format(server=site.server, folder=site.folder))
    assert "has not even org/app" in site.refused("org/lib")
    assert site.refused("org/app")
    assert not (site.workspace / "org").exists()


def test_a_merger_without_the_project_is_an_error_when_nothing_tells_which_it_must_have(site):
    site.build(ZUUL_PROJECT="")
    assert "give --zuul-project too" in site.refused("org/lib")


def test_a_state_of_the_change_s_own_project_that_is_gone_is_told(site):
    site.known_to_merger("org/app")
    site.build()
    ended = site.prepared("org/app")
    assert site.head() == site.tip("org/app", "master")
    assert "WARNING org/app: the change under test is of this project, but its merged state is gone" in ended.log


def test_a_project_that_upstream_has_not_is_an_error(site):
    assert f"ERROR org/none: cannot clone {site.base}/org/none" in site.refused("org/none")


def test_an_upstream_that_cannot_be_reached_is_an_error(site):
    site.server = "http://127.0.0.1:1"
    assert "ERROR org/app: cannot clone http://127.0.0.1:1/base/org/app" in site.refused("org/app")

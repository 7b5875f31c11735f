"""The command: its options, its words, its exit statuses; and what it says of refs without asking anybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cloner_site import ENVIRONMENT, NAME

from ci_gate import __version__
from ci_gate.cloner.refs import comes_from_merger, ref_for
from ci_gate.cloner.request import Request

COMMANDS = {
    "ci-gate cloner": [sys.executable, "-m", "ci_gate", "cloner"],
    "zuul-cloner": [str(Path(sys.executable).with_name("zuul-cloner"))],
}


def call(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMANDS[name], *arguments],
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_both_commands_clone(site, name):
    done = call(name, "--workspace", str(site.workspace), site.base, "org/app", "--branch=stable")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert site.head() == site.tip("org/app", "stable")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "variables", "problem"),
    [
        (["--zuul-ref=refs/zuul/master/Z1"], {}, "--zuul-ref (ZUUL_REF) needs --zuul-url (ZUUL_URL)"),
        ([], {"ZUUL_REF": "refs/zuul/master/Z1"}, "--zuul-ref (ZUUL_REF) needs --zuul-url (ZUUL_URL)"),
        (["--zuul-newrev=" + "12" * 20], {}, "--zuul-newrev (ZUUL_NEWREV) needs --zuul-project (ZUUL_PROJECT)"),
        ([], {"ZUUL_NEWREV": "12" * 20}, "--zuul-newrev (ZUUL_NEWREV) needs --zuul-project (ZUUL_PROJECT)"),
        (["--project-branch=org/app"], {}, "'org/app' is not PROJECT=BRANCH"),
        (["--project-branch==x"], {}, "'=x' is not PROJECT=BRANCH"),
        (["--branch=a b"], {}, "--branch: 'a b' cannot be the name of a branch"),
        (["--project-branch=org/app=-x"], {}, "--project-branch of org/app: '-x' cannot be"),
        ([], {"ZUUL_BRANCH": "a..b"}, "--zuul-branch (ZUUL_BRANCH): 'a..b' cannot be"),
        (["--zuul-url=http://x", "--zuul-ref=+refs/a:refs/b"], {}, "--zuul-ref (ZUUL_REF): '+refs/a:refs/b' cannot be"),
        (["--zuul-project=a", "--zuul-newrev=--exec"], {}, "'--exec' is no revision"),
        (["../outside"], {}, "'../outside' cannot be the name of a project"),
        (["org//app"], {}, "'org//app' cannot be the name of a project"),
        (["/etc"], {}, "'/etc' cannot be the name of a project"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(tmp_path, name, arguments, variables, problem):
    options = ["--workspace", str(tmp_path / "workspace")]
    done = call(name, *options, "http://127.0.0.1:1", "org/app", *arguments, **variables)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{name}: ")
    assert problem in done.stderr
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize("arguments", [[], ["http://base"], ["--nonsense", "http://base", "a"], ["", "a"]])
def test_incomplete_calls_are_refused(arguments):
    assert call("zuul-cloner", *arguments).returncode == 2


def test_the_version_is_told():
    assert call("ci-gate cloner", "--version").stdout == f"ci-gate cloner {__version__}\n"
    assert call("zuul-cloner", "--version").stdout == f"ci-gate cloner {__version__}\n"


def test_a_configuration_file_may_be_named_and_is_not_read(site):
    done = call("ci-gate cloner", "-c", "/nowhere", "--workspace", str(site.workspace), site.base, "org/app")
    assert done.returncode == 0


def test_the_current_folder_is_the_workspace_unless_one_is_named(site):
    subprocess.run(
        [*COMMANDS["zuul-cloner"], site.base, "org/app"], cwd=site.folder, env=ENVIRONMENT, check=True, timeout=60
    )
    assert (site.folder / "org/app/master.txt").exists()


def test_a_worker_without_git_is_told(tmp_path):
    done = call("zuul-cloner", "--workspace", str(tmp_path), "http://127.0.0.1:1", "org/app", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "git is not there: install it" in done.stderr


def test_upstream_may_be_a_relative_path(site):
    command = [*COMMANDS["zuul-cloner"], "upstream", "--workspace=workspace", "org/app", "--branch=gone"]
    subprocess.run(command, cwd=site.folder, env=ENVIRONMENT, check=True, timeout=60)
    assert site.head() == site.tip("org/app", "master")


def test_names_with_blanks_and_signs_work(site):
    site.project("org/with blank & 50%25")
    site.prepared("org/with blank & 50%25")
    assert site.head("org/with blank & 50%25") == site.tip("org/with blank & 50%25", "master")


# --- what it says ---


def test_the_log_says_what_was_checked_out_and_why(site):
    state = site.merged("org/app", "master")
    site.build()
    log = site.prepared("org/app").log
    what = f"refs/zuul/master/{NAME} from {site.merger_url}/org/app"
    assert f"INFO org/app: cloning from {site.merger_url}/org/app\n" in log
    assert f"INFO org/app: checked out {state}: {what} (Change refs/zuul/master/{NAME})\n" in log
    assert "INFO prepared 1 projects in " in log
    assert "DEBUG" not in log


def test_the_verbose_log_has_each_git_command(site):
    log = site.prepared("-v", "org/app").log
    assert "DEBUG org/app: git clone --quiet --no-checkout" in log
    assert "DEBUG org/app: git checkout --quiet --force --detach" in log


def test_a_coloured_log_has_colours_and_another_has_none(site):
    assert "\033[31m" in site.refused("--color", "org/none")
    assert "\033[2m" in site.prepared("--color", "-v", "org/app").log
    assert "\033" not in site.refused("org/none")


def test_no_password_is_logged(site):
    site.merged("org/app", "master")
    site.server = site.server.replace("http://", "http://user:secret@")
    site.build()
    log = site.prepared("-v", "org/app", "org/lib").log
    site.server = "http://user:secret@127.0.0.1:1"
    log += site.refused("-v", "org/third")
    assert "http://user:***@" in log
    assert "secret" not in log


# --- names of refs ---


def request(**values: str) -> Request:
    return Request("http://base", ("org/app",), zuul_url="http://merger", **values)


@pytest.mark.parametrize(
    ("ref", "branch", "wanted", "made"),
    [
        ("refs/zuul/master/Z1", "master", "stable", "refs/zuul/stable/Z1"),
        ("refs/zuul/master/Z1", "master", "stable/1.2", "refs/zuul/stable/1.2/Z1"),
        ("refs/zuul/stable/1.2/Z1", "stable/1.2", "master", "refs/zuul/master/Z1"),
        ("refs/zuul/zuul/Z1", "zuul", "x", "refs/zuul/x/Z1"),
        ("refs/zuul/Z1/Z1", "Z1", "x", "refs/zuul/x/Z1"),
        ("refs/zuul/a.b/Zaxb", "a.b", "x", "refs/zuul/x/Zaxb"),
        ("refs/zuul/master/Z1", None, "stable", "refs/zuul/stable/Z1"),
        ("refs/zuul/master/Z1", "master", r"\1", r"refs/zuul/\1/Z1"),
        ("master", "master", "stable", "stable"),
        ("refs/heads/master", "master", "stable", "refs/heads/stable"),
        ("refs/heads/stable/1.2", "stable/1.2", "master", "refs/heads/master"),
        ("refs/heads/my-master", "master", "stable", "refs/heads/my-master"),
        ("refs/heads/master/x", "master", "stable", "refs/heads/master/x"),
        ("refs/tags/v1", "master", "stable", "refs/tags/v1"),
        ("refs/heads/master", None, "stable", None),
        (None, "master", "stable", None),
        ("refs/zuul/master/Z1", "master", None, None),
    ],
)
def test_a_ref_for_another_branch_is_made_from_its_parts(ref, branch, wanted, made):
    assert ref_for(request(zuul_ref=ref, zuul_branch=branch), wanted) == made


@pytest.mark.parametrize(
    ("project", "ref", "merger"),
    [
        ("org/app", "refs/zuul/master/Z1", True),
        ("org/lib", "refs/zuul/master/Z1", True),
        ("org/app", "refs/heads/master", True),
        ("org/lib", "refs/heads/master", False),
    ],
)
def test_refs_come_from_where_they_are_made(project, ref, merger):
    assert comes_from_merger(request(zuul_project="org/app"), project, ref) is merger

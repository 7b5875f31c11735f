"""``ci-gate merger`` at the command line: what it needs to start, and clearing old states."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DAY_S = 86_400.0


class Place:
    """A folder with a configuration for a merger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git_dir = folder / "git"
        self.values = {
            "gearman": {"server": "127.0.0.1", "port": "1"},
            "zuul": {"state_dir": folder / "state"},
            "merger": {"zuul_url": "http://127.0.0.1/p", "git_dir": self.git_dir},
        }

    def write(self) -> None:
        lines = []
        for section, values in self.values.items():
            lines += [f"[{section}]", *(f"{key}={value}" for key, value in values.items())]
        (self.folder / "merger.conf").write_text("\n".join(lines) + "\n")

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "ci_gate", "merger", "--config", str(self.folder / "merger.conf")]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.write()
        return subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=30, check=False)

    def start(self) -> subprocess.Popen[str]:
        self.write()
        return subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)

    def refusal(self) -> str:
        ended = self.run()
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        return ended.stderr

    def publish(self, project: str, *refs: str, days_ago: float = 0.0) -> Path:
        """A repository with states that have no record, as the merger before us left them."""
        path = self.git_dir / project / ".git"
        if not path.exists():
            git("init", "-q", "--bare", str(path))
        when = f"{int(time.time() - days_ago * DAY_S)} +0000"
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        commit = git("-C", str(path), "commit-tree", "-m", "x", EMPTY_TREE, **dates)
        for ref in refs:
            git("-C", str(path), "update-ref", ref, commit)
            os.utime(path / ref, (time.time() - days_ago * DAY_S,) * 2)
        return path


EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
IDENTITY = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(*arguments: str, **variables: str) -> str:
    command = ["git", "-c", "safe.directory=*", *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, **IDENTITY, **variables}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def refs_of(path: Path) -> list[str]:
    return git("-C", str(path), "for-each-ref", "--format=%(refname)").splitlines()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_it_needs_an_address_under_which_workers_fetch(place):
    del place.values["merger"]["zuul_url"]
    config = place.folder / "merger.conf"
    text = "set it to the URL where workers fetch refs, e.g. http://ci.example.org/p"
    assert f"{config}: error: [merger] zuul_url is missing: {text}" in place.refusal()


def test_it_needs_a_job_server(place):
    del place.values["gearman"]["server"]
    assert "[gearman] server is missing" in place.refusal()


@pytest.mark.parametrize(("section", "key"), [("zuul", "state_dir"), ("merger", "git_dir")])
def test_it_needs_folders_that_it_can_write_to(place, section, key):
    (place.folder / "file").write_text("")
    place.values[section][key] = place.folder / "file" / "x"
    assert f": error: [{section}] {key}: {place.folder / 'file' / 'x'} cannot be made" in place.refusal()


def test_a_log_config_that_is_not_there(place):
    place.values["merger"]["log_config"] = place.folder / "logging.conf"
    assert f": error: [merger] log_config: {place.folder / 'logging.conf'}: there is no such" in place.refusal()


def test_old_states_are_cleared_by_age(place):
    place.values["merger"]["ref_retention"] = "14d"
    path = place.publish("a/b", "refs/zuul/master/Zold", days_ago=15)
    place.publish("a/b", "refs/zuul/master/Znew", "refs/heads/master", days_ago=13)
    ended = place.run("clear-refs")
    assert (ended.returncode, ended.stdout) == (0, "a/b: 1 of 2\n1 states deleted, 1 kept\n")
    assert refs_of(path) == ["refs/heads/master", "refs/zuul/master/Znew"]


def test_clearing_takes_an_age_and_projects_and_may_only_count(place):
    paths = [place.publish(project, "refs/zuul/master/Z1", days_ago=5) for project in ("a", "b")]
    counted = place.run("clear-refs", "--older-than", "4d", "--dry-run")
    assert counted.stdout == "a: 1 of 1\nb: 1 of 1\n2 states would be deleted, 0 kept\n"
    assert place.run("clear-refs", "--older-than", "4d", "b").stdout == "b: 1 of 1\n1 states deleted, 0 kept\n"
    assert [refs_of(path) for path in paths] == [["refs/zuul/master/Z1"], []]


def test_an_age_that_is_none_is_a_usage_error(place):
    ended = place.run("clear-refs", "--older-than", "soon")
    assert ended.returncode == 2
    assert "use a whole number and s, m, h, d or w, e.g. 30d" in ended.stderr


def test_a_broken_repository_is_named_and_keeps_no_other_from_being_cleared(place):
    broken, whole = (place.publish(project, "refs/zuul/master/Z1", days_ago=50) for project in ("a", "b"))
    (broken / "HEAD").unlink()
    ended = place.run("clear-refs")
    assert (ended.returncode, ended.stdout) == (1, "b: 1 of 1\n1 states deleted, 0 kept\n")
    assert ended.stderr.startswith("ci-gate: a: git for-each-ref failed: fatal: not a git repository")
    assert refs_of(whole) == []


def test_sigusr2_tells_what_every_thread_and_task_does(place):
    with place.start() as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "merging" in line:
                process.send_signal(signal.SIGUSR2)
            if "stack of a task" in line:
                break
        else:
            pytest.fail("it ended without having told")
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0

"""A large generated repository, as mergers keep them: bare, packed, the same at every run."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

FILES = 20_000
COMMITS = 5_000
FILES_A_COMMIT = 3
LINES = 30
ZUUL = "refs/zuul/master/Z"

_WORDS = ("merge", "queue", "change", "branch", "worker", "layout", "event", "build", "result", "state")


def make_large_repository(path: Path, *, files: int = FILES, commits: int = COMMITS) -> str:
    """Returns the commit on master."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "master", str(path)], check=True)
    feed = subprocess.Popen(["git", "-C", str(path), "fast-import", "--quiet"], stdin=subprocess.PIPE)
    with feed:
        assert feed.stdin is not None
        feed.stdin.writelines(_history(files, commits))
    assert feed.returncode == 0
    run(path, "repack", "-a", "-d", "-q")
    return run(path, "rev-parse", "master")


def add_build_sets(path: Path, count: int, commit: str) -> None:
    """``count`` refs of build sets, as old ones lie about: packed."""
    names = (f"{ZUUL}{number:032x}" for number in range(count))
    told = "".join(f"create {name} {commit}\n" for name in names)
    run(path, "update-ref", "--stdin", stdin=told)
    run(path, "pack-refs", "--all")


def run(where: Path, *arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *arguments], input=stdin, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _history(files: int, commits: int) -> Iterator[bytes]:
    chance = random.Random(6)  # noqa: S311 - contents of files, no secrets
    names = [f"part{each % 20:02}/module{each % 400:03}/file{each:05}.txt" for each in range(files)]
    texts = {name: [_line(chance) for _ in range(LINES)] for name in names}
    for number in range(commits):
        touched = names if number == 0 else chance.sample(names, FILES_A_COMMIT)
        when = 1_500_000_000 + number * 60
        yield _data(f"commit refs/heads/master\ncommitter A <a@example.org> {when} +0000\n", "Change\n")
        for name in touched:
            texts[name][chance.randrange(LINES)] = _line(chance)
            yield _data(f"M 100644 inline {name}\n", "".join(texts[name]))


def _line(chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=6)) + f" {chance.randrange(10**6)}\n"


def _data(head: str, text: str) -> bytes:
    body = text.encode()
    return head.encode() + f"data {len(body)}\n".encode() + body + b"\n"

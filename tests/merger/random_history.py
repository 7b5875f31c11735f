"""Random histories with everything that makes merging hard, from a seed; and what plain git makes of them."""

from __future__ import annotations

import itertools
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from merger_world import git, out

from ci_gate.model.merge import MergeMode

FOLDERS = ("", "src/", "src/deep/", "src/deep/er/", "doc/", "lib/")
NAMES = ("a.txt", "b.txt", "log", "src", "doc", "data.bin", 'naïve "file"', "link", *"cdefghij")
SUBMODULES = ("sub", "src/sub", "doc")
ATTRIBUTES = ("log merge=union", "*.txt -merge", "*.txt text", "* text=auto", "data.bin merge", "*.txt eol=crlf")
PLAIN_COMMANDS = {
    MergeMode.MERGE_RESOLVE: ("merge", "-s", "resolve", "--no-edit"),
    MergeMode.MERGE: ("merge", "--no-edit"),
    MergeMode.CHERRY_PICK: ("cherry-pick",),
}


@dataclass
class History:
    """A work tree whose commits are made by chance: edits, moves, modes, links, binaries, folders become files."""

    path: Path
    seed: int
    random: random.Random = field(init=False)
    commits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - chance for tests, from a seed that is printed
        self.path.mkdir()
        git(self.path, "init", "-q", "-b", "master")
        for _ in range(16):
            self._write(self._somewhere(), self._new_text())
        self._commit()

    def grow(self, commits: int) -> None:
        """Each on a random earlier commit, sometimes a merge of two."""
        for number in range(commits):
            git(self.path, "checkout", "-q", "--force", "--detach", self.random.choice(self.commits[-4:]))
            git(self.path, "clean", "-qfdx")
            if number > 2 and self.random.random() < 0.25:
                other = self.random.choice(self.commits)
                if git(self.path, "merge", "-q", "--no-edit", other, check=False).returncode != 0:
                    git(self.path, "merge", "--abort", check=False)
                    continue
            for _ in range(self.random.randint(1, 3)):
                self._change_something()
            self._commit()

    def cross(self) -> tuple[str, str] | None:
        """Two commits with two best common ancestors: each merges both of a pair, and goes on by itself."""
        pairs = self.diverged_pairs(1)
        if not pairs:
            return None
        return self._merge_and_go_on(*pairs[0]), self._merge_and_go_on(*reversed(pairs[0]))

    def _merge_and_go_on(self, ours: str, theirs: str) -> str:
        git(self.path, "checkout", "-q", "--force", "--detach", ours)
        git(self.path, "clean", "-qffdx")
        favour = self.random.choice(("ours", "theirs"))
        merging = ("merge", "-q", "--no-edit")
        if git(self.path, *merging, "-X", favour, theirs, check=False).returncode != 0:
            git(self.path, "reset", "-q", "--hard", check=False)
            git(self.path, *merging, "-s", "ours", theirs)
        for _ in range(self.random.randint(0, 2)):
            self._change_something()
        return self._commit()

    def diverged_pairs(self, count: int) -> list[tuple[str, str]]:
        """Random pairs of commits of which neither contains the other."""
        pairs = list(itertools.permutations(self.commits, 2))
        self.random.shuffle(pairs)
        diverged = (pair for pair in pairs if out(self.path, "merge-base", "--all", *pair) not in pair)
        return list(itertools.islice(diverged, count))

    def _commit(self) -> str:
        git(self.path, "add", "--all")
        if self.random.random() < 0.1 and self.commits:
            submodule = f"160000,{self.random.choice(self.commits)},{self.random.choice(SUBMODULES)}"
            git(self.path, "update-index", "--add", "--replace", "--cacheinfo", submodule)
        git(self.path, "commit", "-q", "--allow-empty", "-m", f"commit {len(self.commits)}")
        self.commits.append(out(self.path, "rev-parse", "HEAD"))
        return self.commits[-1]

    def _change_something(self) -> None:
        files = [Path(each) for each in out(self.path, "ls-files", "-z").split("\0")[:-1]]
        files = [each for each in files if (self.path / each).is_file() or (self.path / each).is_symlink()]
        what = self.random.choice(
            ("edit", "edit", "edit", "edit", "new", "delete", "mode", "move", "link", "attributes", "binary")
        )
        one = self.random.choice(files) if files else None
        if what == "new" or one is None:
            self._write(self._somewhere(), self._new_text())
        elif what == "edit" and not (self.path / one).is_symlink():
            self._write(one, self._edited((self.path / one).read_bytes()))
        elif what == "delete":
            (self.path / one).unlink()
        elif what == "mode" and not (self.path / one).is_symlink():
            (self.path / one).chmod(0o755 if (self.path / one).stat().st_mode & 0o100 == 0 else 0o644)
        elif what == "move":
            shutil.move(self.path / one, self.path / "moving")
            shutil.move(self.path / "moving", self._free(self._somewhere()))
        elif what == "link":
            self._free(one).symlink_to(self.random.choice(("a.txt", "nowhere", "src")))
        elif what == "attributes":
            folder = self.random.choice(FOLDERS)
            self._write(Path(f"{folder}.gitattributes"), "\n".join(self.random.sample(ATTRIBUTES, 2)).encode() + b"\n")
        elif what == "binary":
            self._write(Path("data.bin"), b"\0" + self.random.randbytes(9))

    def _somewhere(self) -> Path:
        return Path(self.random.choice(FOLDERS) + self.random.choice(NAMES))

    def _free(self, file: Path) -> Path:
        """Make way for a file there, also where a folder or a file of its folder's name is."""
        for parent in reversed(file.parents[:-1]):
            if (self.path / parent).is_symlink() or (self.path / parent).is_file():
                (self.path / parent).unlink()
        target = self.path / file
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _write(self, file: Path, content: bytes) -> None:
        self._free(file).write_bytes(content)

    def _new_text(self) -> bytes:
        end = self.random.choice((b"\n", b"\n", b"\n", b"\r\n"))
        kinds = self.random.choice((3, 99))  # of few kinds of lines, or nearly all different
        return b"".join(b"line %d" % self.random.randint(0, kinds) + end for _ in range(self.random.randint(0, 20)))

    def _edited(self, content: bytes) -> bytes:
        lines = content.splitlines(keepends=True) or [b"\n"]
        at = self.random.randrange(len(lines))
        lines[at : at + self.random.randint(0, 1)] = [b"edit %d\n" % self.random.randint(0, 9)]
        return b"".join(lines)


class UncleanError(Exception):
    """A fresh checkout counts as changed: its line ends are not as its attributes say. git then merges nothing."""


def merge_plainly(work_tree: Path, mode: MergeMode, base: str, change: str) -> str | None:
    """The tree that git itself makes in a work tree, None if it refuses. Raises UncleanError."""
    git(work_tree, "checkout", "-q", "--force", "--detach", base)
    git(work_tree, "clean", "-qffdx")
    if git(work_tree, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules").stdout:
        raise UncleanError
    done = git(work_tree, *PLAIN_COMMANDS[mode], change, check=False)
    if done.returncode == 0:
        return out(work_tree, "rev-parse", "HEAD^{tree}")
    git(work_tree, "reset", "-q", "--hard", check=False)
    git(work_tree, "cherry-pick", "--quit", check=False)
    return None

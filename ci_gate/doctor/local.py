"""Checks of this machine: files, folders, git, room on disks, and whose they are."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from ci_gate.config.problems import Level, Problem, RefusedError
from ci_gate.daemon.loading import load_for_service
from ci_gate.doctor.check import Finding, Step, counted, good, some, unknown, wrong
from ci_gate.doctor.site import Site
from ci_gate.merger.git import Git, GitError

GROUP = "This machine"
OLDEST_GIT = (2, 39)
VERSION = re.compile(r"git version (\d+)\.(\d+)")
LEAST_FREE = 2**30
LEAST_FREE_INODES = 10_000
TOLD = (Level.WARNING, Level.NOTICE)
MOST_LOOKED_AT = 2_000  # files of a folder
GIT_S = 5.0


def steps(site: Site) -> Iterator[Step]:
    settings = site.settings
    yield Step(GROUP, "configuration", lambda: _configuration(site))
    yield Step(GROUP, "layout", lambda: _layout(site))
    yield Step(GROUP, "user", lambda: asyncio.to_thread(_user, site))
    folders = {"state_dir": settings.state_dir}
    if settings.merger.embedded:
        folders["git_dir"] = settings.merger.git_dir
    for key, folder in folders.items():
        yield Step(GROUP, key, partial(asyncio.to_thread, _folder, key, folder))
    yield Step(GROUP, "disk space", lambda: asyncio.to_thread(_room, folders))
    if settings.merger.embedded:
        by_ssh = any(not each.is_http_only for each in settings.gerrits)
        yield Step(GROUP, "git", partial(_git, by_ssh=by_ssh))


async def _configuration(site: Site) -> Finding:
    problems = [each for each in site.problems if isinstance(each, Problem) and each.level in TOLD]
    return good(f"{site.config}{_see_validate(problems, site)}")


def refused_configuration(refused: RefusedError, path: Path) -> Finding:
    """The first thing to put right, before which nothing else can be looked at."""
    return _refused(f"{path}", refused, f"ci-gate validate --config {path}")


async def _layout(site: Site) -> Finding:
    path = site.settings.layout_config
    try:
        loaded = await asyncio.to_thread(load_for_service, site.settings)
    except RefusedError as refused:
        return _refused(f"{path}", refused, f"ci-gate validate --config {site.config}")
    site.layout = layout = loaded.layout
    size = ", ".join(
        (
            counted(len(layout.pipelines), "pipeline"),
            counted(len(layout.projects), "project"),
            counted(len(site.jobs), "job"),
        )
    )
    warnings = [each for each in loaded.problems if each.level in TOLD]
    return good(f"{path}: {size}{_see_validate(warnings, site)}")


def _refused(path: str, refused: RefusedError, command: str) -> Finding:
    errors = [each for each in refused.problems if each.level is Level.ERROR]
    first = str(errors[0]).removeprefix(f"{path}:").strip() if errors else str(refused)
    return wrong(f"{path} is refused: {counted(len(errors), 'error')}; the first: {first}", f"{command}   shows all")


def _see_validate(warnings: list[Problem], site: Site) -> str:
    if not warnings:
        return ""
    return f"; {counted(len(warnings), 'remark')}, see: ci-gate validate --config {site.config}"


def _user(site: Site) -> Finding | None:
    """Nothing to say where the folder is not there yet: whoever starts the service makes it."""
    try:
        owner = site.settings.state_dir.stat().st_uid
    except OSError:
        return None
    if owner == os.geteuid():
        return good(f"you are {user_name(owner)}, whose state_dir it is")
    return unknown(
        f"you are {user_name(os.geteuid())}, and state_dir is {user_name(owner)}'s: what that user may do is not seen",
        f"sudo -u {user_name(owner)} ci-gate doctor --config {site.config}",
    )


def _folder(key: str, folder: Path) -> Finding:
    """Nothing is made: a folder that is missing is judged by the nearest one above it."""
    existing = _nearest(folder)
    me = user_name(os.geteuid())
    if not existing.is_dir():
        return wrong(f"{existing} is not a folder", f"set {key} to a folder")
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        owner = user_name(existing.stat().st_uid)
        mend = f"chown {me} {folder}" if existing == folder else f"mkdir -p {folder} && chown {me} {folder}"
        return wrong(f"{existing} is {owner}'s and {me} cannot write there", f"as root: {mend}")
    if existing != folder:
        return good(f"{folder} will be made at the first start")
    owner_id = folder.stat().st_uid
    others = [each for each in islice(folder.iterdir(), MOST_LOOKED_AT) if each.lstat().st_uid != owner_id]
    if others:
        owner = user_name(owner_id)
        whose = user_name(others[0].lstat().st_uid)
        return wrong(
            f"{folder} is {owner}'s, but in it {some(each.name for each in others)} is {whose}'s",
            f"as root: chown -R {owner}: {folder}   and start the service as {owner} only",
            items=[str(each) for each in others],
        )
    return good(f"{folder} can be written to")


def _room(folders: dict[str, Path]) -> Finding:
    rooms = []
    for key, folder in folders.items():
        existing = _nearest(folder)
        free = shutil.disk_usage(existing).free
        inodes = os.statvfs(existing)
        if free < LEAST_FREE:
            return wrong(
                f"{key}: {free / 2**20:,.0f} MiB are free on the disk of {existing}",
                "make room: the journal and every fetch need some; less than 1 GiB does not last",
            )
        if inodes.f_files and inodes.f_favail < LEAST_FREE_INODES:
            return wrong(
                f"{key}: the disk of {existing} has {inodes.f_favail:,} files (inodes) left",
                "remove what has very many small files there",
            )
        rooms.append(f"{free / 2**30:,.0f} GiB for {key}")
    return good(", ".join(rooms))


async def _git(*, by_ssh: bool) -> Finding:
    newest = f"install git {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or newer: apt-get install git"
    try:
        told = (await Git().run("version", deadline_s=GIT_S)).text
    except FileNotFoundError:
        return wrong("there is no git on this user's PATH", newest)
    except (GitError, OSError) as problem:
        return wrong(f"git does not run: {problem}", newest)
    found = VERSION.match(told)
    if found and (int(found[1]), int(found[2])) < OLDEST_GIT:
        return wrong(f"{told} is too old", newest)
    if by_ssh and shutil.which("ssh") is None:
        return wrong(f"{told}, but there is no ssh on this user's PATH, by which it reaches Gerrit",
                     "apt-get install openssh-client")  # fmt: skip
    return good(told)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there and may be seen."""
    return next(each for each in (folder, *folder.absolute().parents) if _is_there(each))


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"

"""Names of jobs: the layout's, Jenkins' paths, and addresses below Jenkins' own (gearman-jenkins.md 14). Pure.

A path is a tuple of names as Jenkins' API gives them. A multibranch child's name is encoded already (``feature%2Fx``)
and is encoded once more in an address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

Path = tuple[str, ...]

UNFIT = re.compile(r"[:\x00-\x1f\x7f]")  # function names are split at colons (gearman-jenkins.md 2)
DEEPEST = 5


def address_of(path: Sequence[str]) -> str:
    """Below Jenkins' address, without a slash at either end; empty for Jenkins itself."""
    return "/".join(f"job/{quote(name, safe='')}" for name in path)


class JobPaths:
    """``job_path`` of the settings: ``ci/{job} | */{job}``, with ``*`` for any one folder and ``**`` for any depth."""

    def __init__(self, template: str) -> None:
        self._patterns = [_pattern(each.strip()) for each in template.split("|")]
        self.depth = max(_depth(each.strip()) for each in template.split("|"))

    def name_of(self, path: Path) -> tuple[int, str] | None:
        """The layout's name of a job, with the rank of the alternative that gives it; None: it is not offered."""
        for rank, pattern in enumerate(self._patterns):
            found = pattern.fullmatch("/".join(path))
            if found is not None and not UNFIT.search(found["job"]):
                return rank, found["job"]
        return None


def _pattern(template: str) -> re.Pattern[str]:
    *folders, last = template.strip("/").split("/")
    any_folder = {"*": "[^/]+/", "**": "(?:[^/]+/)*"}
    parts = [any_folder.get(folder, f"{re.escape(folder)}/") for folder in folders]
    # A job's name holds slashes only where nothing else says how deep to look.
    parts.append(re.escape(last.removesuffix("{job}")))
    return re.compile("".join(parts) + ("(?P<job>[^/]+)" if {"*", "**"} & set(folders) else "(?P<job>.+)"))


def _depth(template: str) -> int:
    folders = template.strip("/").split("/")
    return DEEPEST if "**" in folders or not {"*", "**"} & set(folders) else len(folders)

"""Which branch is wanted for a project, and what a ref of the merger is called for another branch.

Pure: names in, names out. The order in which refs are tried is that of ``project``.
"""

from __future__ import annotations

import re

from ci_gate.cloner.request import Request

_PUBLISHED = re.compile(r"refs/zuul/.+/(?P<name>[^/]+)")


def wanted_branch(request: Request, project: str) -> str | None:
    return request.project_branches.get(project) or request.branch or request.zuul_branch


def ref_for(request: Request, branch: str | None) -> str | None:
    """``ZUUL_REF`` with ``ZUUL_BRANCH`` in it replaced by ``branch``; None if there is nothing to make one of.

    Exactly the branch's part of ``refs/zuul/BRANCH/Z…`` is replaced; in other refs (``master``, ``refs/heads/master``
    of a ref that was updated) the branch, where the ref ends with it.
    """
    if not request.zuul_ref or not branch:
        return None
    published = _PUBLISHED.fullmatch(request.zuul_ref)
    if published:
        return f"refs/zuul/{branch}/{published['name']}"
    if not request.zuul_branch:
        return None  # which part of it is a branch, nobody knows
    if f"/{request.zuul_ref}".endswith(f"/{request.zuul_branch}"):
        return request.zuul_ref.removesuffix(request.zuul_branch) + branch
    return request.zuul_ref


def comes_from_merger(request: Request, project: str, ref: str) -> bool:
    """Is a ref of this project fetched from ``ZUUL_URL``? Else from ``GIT_BASE_URL``."""
    return ref.startswith("refs/zuul") or project == request.zuul_project

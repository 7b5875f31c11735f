"""A site for the cloner: ``org/app`` and ``org/lib`` upstream, both with master and stable."""

from __future__ import annotations

import pytest
from cloner_site import Site, serving


@pytest.fixture
def empty_site(tmp_path):
    with serving(tmp_path) as url:
        yield Site(tmp_path, url)


@pytest.fixture
def site(empty_site):
    for project in ("org/app", "org/lib"):
        empty_site.project(project, "master", "stable")
    return empty_site

"""The page's files themselves: they need nothing from elsewhere, and their colours can be read."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

import ci_gate.web

STATIC = Path(ci_gate.web.__file__).parent / "static"
FILES = sorted(STATIC.iterdir())
LOWEST_CONTRAST = 4.5  # WCAG AA for text

PAIRS = [
    *((text, back) for text in ("text", "soft", "link", "bad", "warn") for back in ("page", "card")),
    *((name, f"{name}-back") for name in ("good", "bad", "warn", "busy")),
    ("soft", "quiet-back"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_needs_nothing_from_elsewhere(path):
    addresses = re.findall(r"https?://[\w.]+", path.read_text())
    assert set(addresses) <= {"http://www.w3.org"}  # the name of the SVG language


def test_all_links_are_relative_and_lead_to_files():
    links = re.findall(r'(?:href|src)="([^"#]+)"', (STATIC / "index.html").read_text())
    assert links
    for link in links:
        assert not link.startswith("/")
        assert link == "status.json" or (STATIC.parent / link).is_file()


def test_the_page_has_neither_scripts_nor_styles_inside():
    text = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script[^>]*>[^<]", text)


@pytest.mark.parametrize("path", [each for each in FILES if each.suffix == ".js"], ids=lambda path: path.name)
def test_no_script_makes_html_of_text(path):
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text())


def schemes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", (STATIC / "status.css").read_text(), re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in blocks)
    return {"light": light, "dark": dark}


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    parts = [int(colour[start:end], 16) / 255 for start, end in pairwise((1, 3, 5, 7))]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "back"), PAIRS, ids="-on-".join)
def test_text_can_be_read(scheme, text, back):
    colours = schemes()[scheme]
    darker, lighter = sorted((luminance(colours[text]), luminance(colours[back])))
    assert (lighter + 0.05) / (darker + 0.05) >= LOWEST_CONTRAST

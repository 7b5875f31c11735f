"""``[jenkins NAME]``: the Jenkins controllers that ``ci-gate jenkins`` serves (gearman-jenkins.md part B)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ci_gate.config.ini import Ini, Section
from ci_gate.config.settings import HookSettings, JenkinsSettings
from ci_gate.config.values import Reader

HEADING = re.compile(r"jenkins (?P<name>.*)", re.DOTALL)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
URL = re.compile(r"https?://[^/\s]+(/\S*)?", re.IGNORECASE)
SAFE_FOR_TOKENS = re.compile(r"https://|http://(localhost|127\.[0-9.]+|\[::1\])([:/]|$)", re.IGNORECASE)
LIMIT = re.compile(r"\s*(?P<label>[^\s=,]+)\s*(?:=|\s)\s*(?P<count>[0-9]{1,6})\s*")
SECONDS = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)\s*s?")
SHORTEST_POLL_S = 0.1
HIGHEST_PORT = 65535


def read_jenkins_sections(ini: Ini, reader: Reader) -> tuple[JenkinsSettings, ...]:
    """In the order of the file. Problems go to the reader."""
    found = []
    for section in ini.sections.values():
        named = HEADING.fullmatch(section.name)
        if named is None:
            continue
        if NAME.fullmatch(named["name"].strip()) is None:
            said = (
                f"[{section.name}]: a name is made of letters, digits, '.', '_' and '-': it becomes part of stop:NAME"
            )
            reader.error(section.line, said)
            continue
        found.append(_read(reader, section, named["name"].strip()))
    return tuple(found)


def _read(reader: Reader, section: Section, name: str) -> JenkinsSettings:
    place = section.name
    url = _url(reader, section)
    template = reader.text(place, "job_path") or "{job}"
    for each in template.split("|"):
        if each.count("{job}") != 1 or not each.strip().endswith("{job}"):
            said = f'[{place}] job_path: "{each.strip()}" does not end in {{job}}, as in ci/{{job}}'
            reader.error(reader.line(place, "job_path"), said)
    jobs = reader.text(place, "jobs")
    try:
        pattern = re.compile(jobs) if jobs else None
    except re.error as problem:
        reader.error(reader.line(place, "jobs"), f"[{place}] jobs: not a regular expression: {problem}")
        pattern = None
    return JenkinsSettings(
        name=name,
        url=url,
        user=reader.text(place, "user"),
        token=reader.text(place, "token"),
        token_file=_token_file(reader, place, url),
        ca_file=reader.path(place, "ca_file"),
        poll_interval_s=_poll_interval(reader, place),
        jobs=pattern,
        job_path=template,
        node_param=reader.text(place, "node_param"),
        max_queued=_max_queued(reader, place),
        label_limits=_limits(reader, place),
        offline_nodes=reader.boolean(place, "offline_nodes", default=False),
        hook=_hook(reader, place),
    )


def _hook(reader: Reader, place: str) -> HookSettings | None:
    port, token_file = reader.text(place, "hook_port"), reader.path(place, "hook_token_file")
    if port is None:
        for key in ("hook_address", "hook_token_file"):
            if reader.text(place, key):
                reader.error(reader.line(place, key), f"[{place}] {key} without hook_port: set the port to listen on")
        return None
    if token_file is None:
        said = f"[{place}] hook_port without hook_token_file: name a file with a token that posts have to bring"
        reader.error(reader.line(place, "hook_port"), said)
        return None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= HIGHEST_PORT:
        reader.error(reader.line(place, "hook_port"), f'[{place}] hook_port: "{port}" is not a port from 1 to 65535')
        return None
    return HookSettings(int(port), token_file, reader.text(place, "hook_address") or "127.0.0.1")


def _url(reader: Reader, section: Section) -> str:
    url = reader.text(section.name, "url")
    if url is None:
        advice = "set it to Jenkins' address, e.g. https://jenkins.example.org/"
        reader.error(section.line, f"[{section.name}] url is missing: {advice}")
        return ""
    line = reader.line(section.name, "url")
    if URL.fullmatch(url) is None:
        reader.error(line, f'[{section.name}] url: "{url}" is not an address such as https://jenkins.example.org/')
    elif "@" in url.split("//", 1)[1].split("/", 1)[0]:
        reader.error(line, f"[{section.name}] url: it holds a user or a password; use user and token_file for them")
    return url.rstrip("/")


def _token_file(reader: Reader, place: str, url: str) -> Path | None:
    """Also where secrets stand wrong is told here."""
    path = reader.path(place, "token_file")
    if path is not None and reader.text(place, "token"):
        reader.error(reader.line(place, "token"), f"[{place}] token and token_file are both set; keep one")
    if reader.text(place, "user") and url and not SAFE_FOR_TOKENS.match(url):
        line = reader.line(place, "url")
        reader.error(line, f"[{place}] url: the token would travel in the clear; use https:// (or this very host)")
    if path is not None and not reader.text(place, "user"):
        reader.error(reader.line(place, "token_file"), f"[{place}] token_file without user: name whose token it is")
    return path


def _poll_interval(reader: Reader, place: str) -> float:
    text = reader.text(place, "poll_interval")
    if text is None:
        return JenkinsSettings.POLL_S
    found = SECONDS.fullmatch(text)
    if found is None or float(found["number"]) < SHORTEST_POLL_S:
        said = f'[{place}] poll_interval: "{text}" is not a number of seconds from {SHORTEST_POLL_S:g} on, e.g. 2'
        reader.error(reader.line(place, "poll_interval"), said)
        return JenkinsSettings.POLL_S
    return float(found["number"])


def _max_queued(reader: Reader, place: str) -> int | None:
    text = reader.text(place, "max_queued")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < 1:
        said = f'[{place}] max_queued: "{text}" is not a whole number from 1 on'
        reader.error(reader.line(place, "max_queued"), said)
        return None
    return int(text)


def _limits(reader: Reader, place: str) -> Mapping[str, int]:
    text = reader.text(place, "label_limits")
    limits = {}
    for each in re.split(r"[,\n]", text or ""):
        if not each.strip():
            continue
        found = LIMIT.fullmatch(each)
        if found is None:
            said = f'[{place}] label_limits: "{each.strip()}" is not LABEL=NUMBER, as in docker=4, arm=1'
            reader.error(reader.line(place, "label_limits"), said)
        else:
            limits[found["label"]] = int(found["count"])
    return limits

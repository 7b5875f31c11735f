"""Lines of a stream, however the bytes are cut."""

from __future__ import annotations

import pytest
from gerrit_parts import SAMPLES, VERSIONS
from hypothesis import given
from hypothesis import strategies as st

from ci_gate.gerrit import lines as lines_module
from ci_gate.gerrit.lines import LineReader

TEXT = '{"a": "ä€😀"}\n\n{"b": 2}\r\nrest'


def test_every_cut_gives_the_same_lines():
    data = TEXT.encode()
    for cut in range(len(data) + 1):
        reader = LineReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == ['{"a": "ä€😀"}', '{"b": 2}']


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_stream_cut_at_every_byte_gives_the_same_events(version):
    data = (SAMPLES / f"events-{version}.jsonl").read_bytes()
    events = data.splitlines(keepends=True)[:2]
    whole = LineReader().feed(b"".join(events))
    for cut in range(len(events[0]) + 1):
        reader = LineReader()
        assert reader.feed(events[0][:cut]) + reader.feed(events[0][cut:] + events[1]) == whole
    reader = LineReader()
    assert [line for byte in b"".join(events) for line in reader.feed(bytes([byte]))] == whole


@given(st.lists(st.integers(0, len(TEXT.encode())), max_size=8))
def test_so_do_many_cuts(cuts):
    data, reader, found, start = TEXT.encode(), LineReader(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        found += reader.feed(data[start:cut])
        start = cut
    assert found == ['{"a": "ä€😀"}', '{"b": 2}']


def test_a_line_without_its_end_waits_for_it():
    reader = LineReader()
    assert reader.feed(b"half") == []
    assert reader.feed(b" and half\n") == ["half and half"]


def test_broken_characters_do_not_lose_the_line():
    assert LineReader().feed(b'{"a": "\xff\xfe"}\n') == ['{"a": "��"}']


def test_a_line_that_is_too_long_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(lines_module, "LONGEST_LINE", 10)
    reader = LineReader()
    assert reader.feed(b"x" * 8) == []
    assert reader.feed(b"x" * 8 + b"\nshort\n") == ["short"]
    assert reader.too_long == 1

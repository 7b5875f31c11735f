"""The YAML layer: positions, aliases, merge keys, and files that are none (layout.md 2)."""

from __future__ import annotations

import time

import pytest
from layout_parts import CHECK

from ci_gate.config import document as document_module
from ci_gate.config.document import YamlError, decode, place_of, read_document, scalar_value


def read(text: str):
    return read_document(text, lambda _: None)


def value_at(document, *keys):
    node = document.root
    for key in keys:
        node = document.entries(node)[key][1] if isinstance(key, str) else node.value[key]
    return node


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("12", 12),
        ("012", 10),
        ("0x1f", 31),
        ("1_000", 1000),
        ("1:30", 90),
        ("1.5", 1.5),
        ("~", None),
        ("", None),
        ("null", None),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("2026-11-24", "2026-11-24"),
        ("08", "08"),
        ("=", "="),
    ],
)
def test_scalars_are_what_yaml_1_1_says(written, value):
    assert scalar_value(value_at(read(f"a: {written}\n"), "a")) == value


def test_an_anchored_node_begins_at_its_anchor_and_a_tagged_one_at_its_tag():
    document = read("a: &x\n  - 1\nb: !!str y\nc: *x\n")
    assert (place_of(value_at(document, "a")).line, place_of(value_at(document, "a")).column) == (1, 4)
    assert (place_of(value_at(document, "b")).line, place_of(value_at(document, "b")).column) == (3, 4)
    assert value_at(document, "c") is value_at(document, "a")


def test_columns_count_characters_and_a_byte_order_mark_counts_nothing():
    document = read(decode("\ufeffä: öö\nß: [ä, x]\n".encode()))
    assert place_of(value_at(document, "ä")).column == 4
    assert place_of(value_at(document, "ß", 1)).column == 8


@pytest.mark.parametrize("key", ["<<", "!!merge m", '!!merge "<<"'])
def test_merge_keys_bring_what_is_not_there(key):
    document = read(f"a: &x {{one: 1, two: 2}}\nb:\n  {key}: *x\n  two: 3\n")
    assert {name: scalar_value(value) for name, (_, value) in document.entries(value_at(document, "b")).items()} == {
        "one": 1,
        "two": 3,
    }


def test_of_several_merged_mappings_the_first_has_the_last_word():
    document = read("a: &x {k: 1, l: 1}\nb: &y {k: 2, m: 2}\nc:\n  <<: [*x, *y]\n")
    entries = document.entries(value_at(document, "c"))
    assert {name: scalar_value(value) for name, (_, value) in entries.items()} == {"k": 1, "l": 1, "m": 2}


def test_a_quoted_merge_key_is_a_plain_key():
    document = read('a: &x {k: 1}\nb: {"<<": *x}\n')
    assert list(document.entries(value_at(document, "b"))) == ["<<"]


def test_the_last_of_two_equal_keys_wins_and_is_told(layouts):
    text = CHECK + "projects:\n  - name: a\n    check: [one]\n    check: [two]\n"
    assert layouts.problems(text) == ["10:5 duplicate-key"]
    assert layouts.texts(text) == ['key "check" is given twice; the value on line 9 is ignored']


@pytest.mark.parametrize(
    ("data", "place", "reason"),
    [
        (b"a: \xff\n", (1, 4), "not UTF-8"),
        (b"\xc3\xa4: x\nb: \xe4\n", (2, 4), "not UTF-8"),
        (b"a: x\nb: \x01\n", (2, 4), "U+0001"),
        (b"a: [1\n", (2, 1), "expected"),
        (b"a: x\n---\nb: y\n", (2, 1), "document"),
        (b"a: *x\n", (1, 4), "alias"),
        (b"a: !!python/name:os.system\n", (1, 4), "tag"),
        (b"a: !mine x\n", (1, 4), "tag"),
        (b"a: !!int x\n", (1, 4), "quote it"),
        (b"a: &x [*x]\n", (1, 4), "inside"),
        (b"? [a]\n: b\n", (1, 3), "plain text"),
        (b"<<: 7\n", (1, 5), "<<"),
    ],
)
def test_what_cannot_be_a_layout_is_refused_where_it_is(layouts, data, place, reason):
    (problem,) = layouts.problems(data)
    assert problem == f"{place[0]}:{place[1]} yaml"
    assert reason in layouts.texts(data)[0]


def test_an_alias_bomb_is_refused_at_once(layouts):
    levels = "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12))
    began = time.monotonic()
    (text,) = layouts.texts("a0: &a0 [x]\n" + levels)
    assert "2,000,000 nodes" in text
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("text", ["- a\n" * 11, "k: v\n" * 5, "[[], [], [], [], []]", "[a: b, c: d, e: f]"])
def test_too_many_values_are_refused_before_they_are_kept(monkeypatch, text):
    monkeypatch.setattr(document_module, "MOST_NODES", 11)
    with pytest.raises(YamlError, match="more than 11 nodes"):
        read(text)


@pytest.mark.parametrize("text", ["- a\n" * 9, "{a: b, c: d}", "[[], [], [], []]", "text"])
def test_as_many_values_as_may_be_are_read(monkeypatch, text):
    monkeypatch.setattr(document_module, "MOST_NODES", 11)
    assert read(text).root is not None


def test_what_can_only_be_too_much_is_not_even_counted():
    with pytest.raises(YamlError, match="4,000,000 commas"):
        read("[" + "a," * 4_000_001 + "]")


def test_an_old_parser_is_kept_from_going_too_deep(monkeypatch):
    monkeypatch.setattr(document_module, "LIBYAML_WITH_LIMIT", (99,))
    for opening in ("[", "- "):
        with pytest.raises(YamlError, match="nested more than 200 levels"):
            read(opening * 900)


def test_a_huge_file_is_refused_without_reading_it_all(layouts, monkeypatch):
    monkeypatch.setattr(document_module, "LARGEST_FILE_BYTES", 2**20)
    with pytest.raises(YamlError, match="larger than 1 MiB"):
        decode(b"#" * (2**20 + 1))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_breaks_nothing(layouts, opening):
    (problem,) = layouts.problems(opening * 20_000)
    assert problem.endswith(" yaml")


def test_without_libyaml_a_layout_still_loads_and_a_note_says_why_it_is_slow(layouts, monkeypatch):
    monkeypatch.delattr("yaml.CSafeLoader")
    assert layouts.problems(CHECK + "projects: []\n") == []
    assert "without libyaml" in layouts.texts(CHECK + "projects: []\n", notes=True)[0]

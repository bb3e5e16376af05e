from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maetoolkit.errors import ConfigError
from maetoolkit.train.document import Document, from_overrides, merge, parse, read_document, scalar
from maetoolkit.train.write import differences, to_yaml

ATTACKS = [
    "a: !!python/object/apply:os.system ['touch canary']",
    "!!python/object/new:subprocess.Popen [['touch', 'canary']]",
    "a: !!python/name:os.system",
    "a: !!python/module:os",
    "a: !!python/tuple [1, 2]",
    "a: !!binary aGVsbG8=",
    "a: !!set {x, y}",
    "a: !!omap [x: 1]",
    "a: !!timestamp 2001-01-01",
    "a: !!int '3'",
    "a: !!str 3",
    "a: ! 3",
    "a: !local 3",
    "a: !<tag:yaml.org,2002:python/object:os.system> {}",
    "!!map {a: 1}",
    "a: [!x 1]",
    "!k a: 1",
    "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system ['touch canary']",
    "? [a, b]\n: 1",
    "? {a: 1}\n: 1",
    "a: 1\n---\nb: 2",
    "a: *nowhere",
    "a: &x [*x]",
    "[1, 2]",
    "just text",
    "a: [1, 2",
    "\tb: 1",
    "a: \x00",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_a_file_that_is_more_than_plain_values_is_refused_and_runs_nothing(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="file"):
        parse(text, "file")
    assert list(tmp_path.iterdir()) == []


def bombs():
    yield "[" * 100_000
    yield "a: " + "{a: " * 500 + "1" + "}" * 500
    yield "\n".join(" " * i + "a:" for i in range(500))
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    yield "\n".join(levels)
    yield "a: &a 1\nb: [" + "*a, " * 200 + "]"
    yield "a: " + "9" * 5000
    yield "x" * 2_000_000
    yield "a: [" + "1, " * 100_000 + "]"


@pytest.mark.parametrize("number", range(8))
def test_bombs_are_refused_at_once(number):
    text = list(bombs())[number]
    start = time.process_time()
    with pytest.raises(ConfigError):
        parse(text, "file")
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("4.", 4.0), (".5", 0.5), ("-3", -3), ("+3", 3), ("012", 12), ("0o17", 15),
        ("0xff", 255), ("true", True), ("False", False), ("null", None), ("~", None), ("no", "no"), ("yes", "yes"),
        ("on", "on"), ("off", "off"), ("y", "y"), ("1_000", "1_000"), ("12:30:45", "12:30:45"), ("<<", "<<"),
        ("2001-01-01", "2001-01-01"), ("1e", "1e"), ("rgb", "rgb"), ("-", "-"), (".", "."), ("0b1", "0b1"),
        (".inf", float("inf")), ("-.inf", float("-inf")),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_a_duplicate_key_is_refused_with_both_lines():
    with pytest.raises(ConfigError, match=r"file:3: key 'a' is given twice \(first at file:1\)"):
        parse("a: 1\nb: 2\na: 3", "file")


def test_each_key_remembers_its_line():
    document = parse("a: 1\n\nb:\n  c: 2\n  d: [1,\n   2]\n", "f.yaml")
    assert document.place(("a",)) == "f.yaml:1"
    assert document.place(("b", "c")) == "f.yaml:4"
    assert document.place(("b", "d", 1)) == "f.yaml:6"
    assert document.place(("b", "unknown")) == "f.yaml:3"


def test_an_alias_is_a_copy_and_not_the_same_thing():
    document = parse("a: &x {b: [1]}\nc: *x", "f")
    assert document.values == {"a": {"b": [1]}, "c": {"b": [1]}}
    document.values["a"]["b"].append(2)
    assert document.values["c"] == {"b": [1]}


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a: \xff", b"\x80abc"])
def test_bytes_that_are_no_text_are_refused(data, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"r\.yaml"):
        read_document(path)


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(ConfigError, match="a folder"):
        read_document(tmp_path)
    with pytest.raises(ConfigError, match="nothing there"):
        read_document(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1e-3", {"a": {"b": 1e-3}}),
        ("a=[1, x]", {"a": [1, "x"]}),
        ("a={b: 1, c: no}", {"a": {"b": 1, "c": "no"}}),
        ("a=null", {"a": None}),
        ("a='1'", {"a": "1"}),
        ("run=out: dir #1", {"run": "out: dir #1"}),
        ("run=*x", {"run": "*x"}),
        ("a=b=c", {"a": "b=c"}),
    ],
)
def test_overrides_follow_the_rules_of_scalars(text, values):
    document = from_overrides([text])
    assert document.values == values
    assert document.place(("a",)) or document.place(("run",)) == f"command line: {text}"


@pytest.mark.parametrize(
    "text", ["a", "=1", "a b=1", "a..b=1", ".a=1", "a=", "a=[1", "a={b: !!int 1}", "a='x' y", "a=[]\nb: 1"]
)
def test_a_malformed_override_is_named(text):
    with pytest.raises(ConfigError, match="command line: "):
        from_overrides([text])


def lay(low, high, **settings):
    return merge(Document(low), Document(high), **settings).values


def test_merging_goes_mapping_by_mapping_and_null_removes_a_mapping():
    assert lay({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}}) == {"a": {"b": 1, "c": [2]}, "d": 2}
    assert lay({"a": {"b": {"x": 1}, "c": {"y": 1}}}, {"a": {"b": None}}) == {"a": {"c": {"y": 1}}}
    assert lay({"a": 1}, {"a": None}) == {"a": None}


def test_of_two_alternatives_the_later_one_drives_out_the_other():
    pairs = (("steps", "epochs"),)
    assert lay({"epochs": 3}, {"steps": 5}, alternatives=pairs) == {"steps": 5}
    assert lay({"steps": 3, "x": {"epochs": 1}}, {"epochs": 5}, alternatives=pairs) == {"x": {"epochs": 1}, "epochs": 5}


def test_a_new_type_drops_the_keys_that_do_not_fit_it():
    low = {"m": {"type": "a", "old": 1, "both": 2}}
    result = lay(low, {"m": {"type": "b", "new": 3}}, fits=lambda path, name, key: key == "both")
    assert result == {"m": {"type": "b", "both": 2, "new": 3}}


TRAPS = ["no", "1e-4", "null", "~", "", "0x1f", "1_0", "2001-01-01", "=", "- a", "a: b", "#", ".inf", "true", " x "]
scalars = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(TRAPS)
plain = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcno1-e.", max_size=5), inner, max_size=3),
    max_leaves=8,
)


@example({"a": "\x85", "b": "x\u2028y", "c": "\u2029"})
@given(st.dictionaries(st.text("abcno1-", min_size=1, max_size=5), plain, max_size=4))
def test_written_documents_read_back_the_same(values):
    assert parse(to_yaml(values), "f").values == values


@given(st.binary(max_size=200) | st.text("{}[]:,&*!|>'\"%@`#?- \n\tab1.", max_size=60))
def test_any_bytes_give_a_document_or_one_clear_error(data):
    message = ""
    try:
        parse(data, "file")
    except ConfigError as error:
        message = str(error)
    assert message == "" or message.startswith("file")


def test_differences_are_listed_by_dotted_key():
    assert differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5}) == [
        "a.c: 2 -> 4", "d: 3 -> None", "e: None -> 5",
    ]  # fmt: skip

"""The form of reports: what is read, what is refused, and that each refusal names its field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.activity.errors import InvalidEventError, MissingFieldsError
from guerdon.activity.schemas import ReportBody, canonical_report, decode_object, host_of, parse_key, parse_report
from guerdon.kit.errors import GuerdonError

BRAND = "0x" + "aB" * 20
GOOD: dict[str, Any] = {"brandId": BRAND, "eventType": "place_order", "userEmail": "ann@example.org"}


def parse(raw: bytes | dict[str, Any]) -> ReportBody:
    return parse_report(decode_object(raw if isinstance(raw, bytes) else json.dumps(raw).encode()))


def fields_of(error: GuerdonError) -> list[str]:
    assert isinstance(error.details, list)
    return [problem["field"] for problem in error.details]


def refused_fields(raw: bytes | dict[str, Any]) -> list[str]:
    with pytest.raises(GuerdonError) as refused:
        parse(raw)
    assert refused.value.status == 400
    return fields_of(refused.value)


def test_a_whole_report_is_read() -> None:
    body = parse(
        {
            **GOOD,
            "userWallet": "0xabc",
            "domain": "shop.example.com",
            "sourceUrl": "https://shop.example.com/thanks?order=1",
            "channel_id": "#support",
            "idempotencyKey": "order-1",
            "metadata": {"b": 1, "a": [1, {"x": None}]},
            "somethingElse": {"is": "ignored"},
        }
    )
    assert body.brand_id == BRAND.lower()
    assert (body.event_type, body.person, body.channel) == ("place_order", "ann@example.org", "#support")
    assert body.metadata_json == '{"a":[1,{"x":null}],"b":1}'
    assert body.idempotency_key == "order-1"


def test_null_and_empty_count_as_absent() -> None:
    body = parse({**GOOD, "domain": None, "sourceUrl": "", "metadata": None, "channel_id": None})
    assert (body.domain, body.source_url, body.metadata, body.channel) == (None, None, None, None)


@pytest.mark.parametrize(
    ("identifier", "identity"),
    [
        ({"platform": "discord", "platformUserId": "0123"}, "discord:0123"),
        ("discord:0123", "discord:0123"),
        ("bob@example.org", "email:bob@example.org"),
    ],
)
def test_a_person_is_named_by_identifier_as_well(identifier: Any, identity: str) -> None:
    body = parse({"eventType": "gm", "userIdentifier": identifier})
    assert body.identity(frozenset()) == identity


def test_the_email_comes_first_when_both_are_given() -> None:
    assert parse({**GOOD, "userIdentifier": "discord:1"}).identity(frozenset()) == "email:ann@example.org"


@pytest.mark.parametrize("missing", ["eventType", "userEmail"])
def test_a_missing_field_is_named_in_the_documented_words(missing: str) -> None:
    with pytest.raises(MissingFieldsError) as refused:
        parse({name: value for name, value in GOOD.items() if name != missing})
    assert refused.value.message == "brandId, eventType, and userEmail are required"
    assert fields_of(refused.value) == [missing]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("brandId", 5),
        ("brandId", "0x12"),
        ("brandId", "0x" + "g" * 40),
        ("eventType", "no spaces"),
        ("eventType", "x" * 51),
        ("eventType", ["order"]),
        ("eventType", "order\n"),
        ("userEmail", {"a": 1}),
        ("userEmail", "a" * 255),
        ("userEmail", True),
        ("userWallet", 7),
        ("domain", 1.5),
        ("domain", "x" * 254),
        ("sourceUrl", "ftp://example.org/"),
        ("sourceUrl", "javascript:alert(1)"),
        ("sourceUrl", "https://" + "x" * 2048),
        ("sourceUrl", "http://[::1"),
        ("channel_id", 12345),
        ("channel_id", "a\u0001"),
        ("idempotencyKey", "k" * 256),
        ("idempotencyKey", "a\nb"),
        ("idempotencyKey", 5),
        ("metadata", "text"),
        ("metadata", [1]),
    ],
)
def test_s9_a_wrong_field_is_named(field: str, value: Any) -> None:
    assert refused_fields({**GOOD, field: value}) == [field]


@pytest.mark.parametrize(
    ("identifier", "field"),
    [
        ({"platform": "discord"}, "userIdentifier.platformUserId"),
        ({"platformUserId": "1"}, "userIdentifier.platform"),
        ({"platform": 1, "platformUserId": "1"}, "userIdentifier.platform"),
        (["discord", "1"], "userIdentifier"),
    ],
)
def test_a_wrong_identifier_is_named(identifier: Any, field: str) -> None:
    assert refused_fields({"eventType": "gm", "userIdentifier": identifier}) == [field]


def test_every_wrong_field_is_named_at_once() -> None:
    assert refused_fields({"brandId": 1, "eventType": 2, "userEmail": 3, "metadata": 4}) == [
        "brandId",
        "eventType",
        "userEmail",
        "metadata",
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a":1}{"b":2}',
        b'{"a":1} trailing',
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":"\xff"}',
        b'{"\xed\xa0\x80":1}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b"[" * 20_000,
        b'{"a":' * 20_000,
        b'{"a":1e200000}',
        b'{"a":-1e400}',
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":"\x00"}',
    ],
    ids=range(22),
)
def test_s9_what_is_no_json_object_in_utf8_is_refused(raw: bytes) -> None:
    assert refused_fields(raw) == ["body"]


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"metadata":{"note":"a\\u0000b"}}', "metadata.note"),
        (b'{"metadata":{"list":[["\\u0000"]]}}', "metadata.list"),
        (b'{"metadata":{"\\u0000":1}}', "metadata"),
        (b'{"\\u0000":1}', "body"),
        (b'{"userEmail":"\\u0000@example.org"}', "userEmail"),
        (b'{"ignored":"\\u0000"}', "ignored"),
        (b'{"metadata":{"n":9223372036854775808}}', "metadata.n"),
        (b'{"metadata":{"n":[-9223372036854775809]}}', "metadata.n"),
    ],
)
def test_s9_what_can_not_be_stored_is_refused_and_named(raw: bytes, field: str) -> None:
    assert refused_fields(raw) == [field]


@pytest.mark.parametrize("opening", [b'{"a":', b"["])
@pytest.mark.parametrize(("levels", "accepted"), [(14, True), (15, False), (500, False)])
def test_s9_nesting_ends_at_sixteen_levels(opening: bytes, levels: int, accepted: bool) -> None:
    closing = b"}" if opening.startswith(b"{") else b"]"
    raw = (
        json.dumps({**GOOD, "metadata": {"deep": 0}}).encode().replace(b": 0", b":" + opening * levels + b"1" + closing * levels)
    )
    if accepted:
        assert parse(raw).metadata is not None
    else:
        with pytest.raises(InvalidEventError, match="nested"):
            parse(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"brandId":"a","brandId":"b"}',
        b'{"metadata":{"x":1,"x":1}}',
        b'{"metadata":{"list":[{"x":1,"x":2}]}}',
        b'{"a":"says \\": twice","a":1}',
        b'{"ab":1,"\\u0061b":2}',
    ],
)
def test_a_field_named_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidEventError, match="twice"):
        decode_object(raw)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.text(st.characters(exclude_characters="\x00", codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('a:"\\{}'), max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.sampled_from('ab:"\\,{}[]'), max_size=5), VALUES, max_size=4))
def test_every_storable_object_without_doubles_is_read_as_it_is(value: dict[str, Any]) -> None:
    for indent in (None, 2):
        assert decode_object(json.dumps(value, indent=indent).encode()) == value


@given(st.dictionaries(st.text(st.sampled_from('abcé"\\'), max_size=3), st.integers(0, 9), min_size=1, max_size=4), st.randoms())
def test_the_same_report_has_one_canonical_form(metadata: dict[str, int], random: Any) -> None:
    items = list(metadata.items())
    random.shuffle(items)
    bodies = [parse({**GOOD, "metadata": form, "ignored": index}) for index, form in enumerate((metadata, dict(items)))]
    assert len({canonical_report(body, "email:ann@example.org") for body in bodies}) == 1
    other = parse({**GOOD, "metadata": {**metadata, "zzzz": 1}})
    assert canonical_report(other, "email:ann@example.org") != canonical_report(bodies[0], "email:ann@example.org")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Shop.Example.com/x", "shop.example.com"),
        ("https://shop.example.com.", "shop.example.com"),
        ("http://localhost:3000", "localhost"),
        ("http://[::1]:80/", "[::1]"),
        ("https://user:pass@evil.example/@shop.example.com", "evil.example"),
        ("null", None),
        ("file:///etc/passwd", None),
        ("//shop.example.com", None),
        ("https://", None),
    ],
)
def test_the_host_of_an_address(url: str, host: str | None) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize("value", [b"a\x00", b"k" * 256, b"a\tb"])
def test_a_key_in_a_header_is_printable(value: bytes) -> None:
    with pytest.raises(InvalidEventError):
        parse_key(value)


def test_a_blank_key_is_none() -> None:
    assert parse_key(b"  ") is None
    assert parse_key(b" order-1 ") == "order-1"

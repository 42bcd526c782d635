"""Bodies: what is read although it is damaged, and what is named for what it is."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.decoding import Undecodable, decode


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=9), st.lists(st.text(max_size=3), max_size=3))))
def test_sound_body_is_read_as_it_is(value: dict[str, object]) -> None:
    """Whatever its texts are."""
    assert decode(orjson.dumps(value)) == value


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'{"note": "cut \ud83d off"}', "cut \ud83d off"),
        (rb'{"note": "\udc00"}', "\udc00"),
        (b'{"note": "tab\there, bell\x07, line\nend"}', "tab\there, bell\x07, line\nend"),
        (b'{"note": NaN}', "NaN"),
        (b'{"note": -Infinity}', "-Infinity"),
    ],
)
def test_damaged_text_is_read(body: bytes, text: str) -> None:
    """A lone surrogate and a control character stay in the text; NaN and Infinity, which JSON has not, become texts."""
    assert decode(body) == {"note": text}


@pytest.mark.parametrize(
    ("body", "words", "offset"),
    [
        (b"", "empty", 0),
        (b"  <!DOCTYPE html><html>", "HTML page", 2),
        (b"<?xml version='1.0'?><Sales/>", "XML", 0),
        (b'{"Sale": [{"sa', "not JSON", 11),
        ('{"a": "é", "b": oops}'.encode(), "not JSON", 17),
        (b'{"name": "caf\xe9"}', "not UTF-8", 13),
        (b"[" * 200_000, "nested too deeply", None),
    ],
)
def test_undecodable_body_is_named_with_the_byte(body: bytes, words: str, offset: int | None) -> None:
    """Bytes count, not letters: a person looks for them in a recording."""
    with pytest.raises(Undecodable, match=words) as caught:
        decode(body)
    assert caught.value.offset == offset


@given(st.binary(max_size=60))
def test_any_body_is_read_or_named(body: bytes) -> None:
    """Nothing else is raised."""
    offset: int | None = 0
    try:
        decode(body)
    except Undecodable as error:
        offset = error.offset
    assert offset is None or 0 <= offset <= len(body)

"""Tokens say who and what for, and nobody but us can make one."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tokens import Purpose, Signer, Verified, address_hash, new_public_id

SIGNER = Signer(["a key"])
DELIVERY = "0123456789abcdef0123"
URL_SAFE = set(string.ascii_letters + string.digits + "-_")


@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_gives_back_its_delivery_for_its_own_purpose_only(purpose: Purpose) -> None:
    token = SIGNER.sign(purpose, DELIVERY)
    assert SIGNER.verify(token, purpose) == Verified(purpose, DELIVERY)
    for other in set(Purpose) - {purpose}:
        assert SIGNER.verify(token, other) is None


def test_a_token_is_39_characters_that_need_no_escaping_in_a_url() -> None:
    token = SIGNER.sign(Purpose.TRACK, new_public_id())
    assert len(token) == 39
    assert set(token) <= URL_SAFE


@pytest.mark.parametrize("purpose", Purpose)
def test_no_single_changed_character_of_a_token_verifies(purpose: Purpose) -> None:
    token = SIGNER.sign(purpose, DELIVERY)
    for place in range(len(token)):
        for char in sorted(URL_SAFE - {token[place]}):
            forged = token[:place] + char + token[place + 1 :]
            for asked in Purpose:
                assert SIGNER.verify(forged, asked) is None, (place, char)


def test_a_token_cut_short_or_made_longer_does_not_verify() -> None:
    token = SIGNER.sign(Purpose.VIEW, DELIVERY)
    for length in range(len(token)):
        assert SIGNER.verify(token[:length], Purpose.VIEW) is None
    for more in ("=", "A", "\n", "%00", "é"):
        assert SIGNER.verify(token + more, Purpose.VIEW) is None
        assert SIGNER.verify(more + token, Purpose.VIEW) is None


@given(st.text(max_size=60), st.sampled_from(list(Purpose)))
def test_any_text_is_an_answer_of_none_and_never_an_error(text: str, purpose: Purpose) -> None:
    assert SIGNER.verify(text, purpose) is None
    assert SIGNER.verify(SIGNER.sign(purpose, DELIVERY)[:23] + text, purpose) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_seal_holds_one_target_of_one_link_of_one_delivery(target: str, other: str) -> None:
    seal = SIGNER.seal(DELIVERY, 3, target)
    assert SIGNER.is_sealed(seal, DELIVERY, 3, target)
    assert not SIGNER.is_sealed(seal, DELIVERY, 4, target)
    assert not SIGNER.is_sealed(seal, "f" * 20, 3, target)
    assert SIGNER.is_sealed(seal, DELIVERY, 3, other) == (other == target)
    assert not SIGNER.is_sealed(other, DELIVERY, 3, target)


def test_a_seal_is_no_token_and_a_token_no_seal() -> None:
    seal = SIGNER.seal(DELIVERY, 1, "https://shop.example/")
    assert all(SIGNER.verify(seal, purpose) is None for purpose in Purpose)
    token = SIGNER.sign(Purpose.TRACK, DELIVERY)
    assert not SIGNER.is_sealed(token, DELIVERY, 1, "https://shop.example/")


def test_after_a_rotation_old_tokens_verify_and_new_ones_use_the_new_key() -> None:
    old, rotated = Signer(["old"]), Signer(["new", "old"])
    sent_before = old.sign(Purpose.UNSUBSCRIBE, DELIVERY)
    assert rotated.verify(sent_before, Purpose.UNSUBSCRIBE) is not None
    sent_after = rotated.sign(Purpose.UNSUBSCRIBE, DELIVERY)
    assert old.verify(sent_after, Purpose.UNSUBSCRIBE) is None
    assert Signer(["new"]).verify(sent_before, Purpose.UNSUBSCRIBE) is None


def test_an_address_hash_depends_on_key_and_address_and_tells_neither() -> None:
    first = address_hash("k", "mei@example.com")
    assert first == address_hash("k", "mei@example.com")
    assert (
        len({first, address_hash("k2", "mei@example.com"), address_hash("k", "li@example.com")})
        == 3
    )
    assert len(first) == 32
    assert "mei" not in first

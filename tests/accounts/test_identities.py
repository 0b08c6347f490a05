"""Identities: the frozen table (SAFETY S6), and what holds for every text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.accounts.errors import InvalidEmailError, InvalidIdentifierError
from guerdon.accounts.identities import NORMALISATION_VERSION, from_platform, normalise

OWN = frozenset({"users.example.org"})

# Wallets hang on these. A line here is never changed: another meaning is another version.
FROZEN = [
    ("anna@example.org", "email:anna@example.org"),
    ("Anna@Example.ORG", "email:anna@example.org"),
    ("  anna@example.org\n", "email:anna@example.org"),
    ("anna+news@example.org", "email:anna+news@example.org"),
    ("an.na@gmail.com", "email:an.na@gmail.com"),
    ("anna@mail.example.co.uk", "email:anna@mail.example.co.uk"),
    ("email:Anna@example.org", "email:anna@example.org"),
    ("ANNA..@docomo.example.jp", "email:anna..@docomo.example.jp"),
    # NFC: one letter, however it is spelled; but look-alikes (Cyrillic а, full-width ａ, ligature ﬁ) stay apart.
    ("Jose\u0301@example.org", "email:jos\u00e9@example.org"),
    ("\u00c9mile@example.org", "email:\u00e9mile@example.org"),
    ("\u0430nna@example.org", "email:\u0430nna@example.org"),
    ("\uff41nna@example.org", "email:\uff41nna@example.org"),
    ("\ufb01n@example.org", "email:\ufb01n@example.org"),
    ("\u0130pek@example.org", "email:i\u0307pek@example.org"),
    ("anna@b\u00fccher.example", "email:anna@b\u00fccher.example"),
    ("anna@xn--bcher-kva.example", "email:anna@xn--bcher-kva.example"),
    # Synthetic addresses and what they stand for are one identity.
    ("discord_123456789012345678@loyalteez.app", "discord:123456789012345678"),
    ("Discord_123456789012345678@Loyalteez.App", "discord:123456789012345678"),
    ("discord:123456789012345678", "discord:123456789012345678"),
    ("Discord:123456789012345678", "discord:123456789012345678"),
    ("discord_0007@loyalteez.app", "discord:0007"),
    ("discord_7@loyalteez.app", "discord:7"),
    ("telegram_42@users.example.org", "telegram:42"),
    ("shopify_shop_42@loyalteez.app", "shopify:shop_42"),
    ("wordpress_a%40b@loyalteez.app", "wordpress:a@b"),
    ("wordpress:a@b", "wordpress:a@b"),
    ("wordpress:a%40b", "wordpress:a%40b"),
    ("tiktok:AbC-12", "tiktok:abc-12"),
    # Not synthetic: another host, or no `platform_id`.
    ("telegram_42@other.example.org", "email:telegram_42@other.example.org"),
    ("support@loyalteez.app", "email:support@loyalteez.app"),
    ("telegram_42@sub.loyalteez.app", "email:telegram_42@sub.loyalteez.app"),
    # Wallets by their own address.
    ("eip155:0xAB00000000000000000000000000000000000001", "eip155:0xab00000000000000000000000000000000000001"),
    ("solana:4Nd1mYQzvbMbGQ5pCfrTyjrE8XqVpQnDGxZkq8G7mFVb", "solana:4Nd1mYQzvbMbGQ5pCfrTyjrE8XqVpQnDGxZkq8G7mFVb"),
]


@pytest.mark.parametrize(("text", "identity"), FROZEN)
def test_s6_the_table_of_identities_is_frozen(text: str, identity: str) -> None:
    assert NORMALISATION_VERSION == 1
    assert normalise(text, OWN) == identity


@pytest.mark.parametrize("identity", sorted({identity for _, identity in FROZEN}))
def test_s6_an_identity_is_its_own_normal_form(identity: str) -> None:
    assert normalise(identity, OWN) == identity


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "anna", "@example.org", "anna@", "anna@localhost", "an na@example.org", "a@b@example.org",
        "anna@example..org", "anna@-example.org", "anna@example.org.", "anna@[127.0.0.1]", '"anna"@example.org',
        "anna@exa_mple.org\x00", "anna\x00@example.org", "anna\u200b@example.org", "anna\u202e@example.org",
        "anna\ud800@example.org", "anna\u0378@example.org", f"{'a' * 65}@example.org", f"a@{'b' * 250}.org",
        "email_anna@loyalteez.app", "solana_abc@loyalteez.app", "eip155_0xab00000000000000000000000000000000000001@loyalteez.app",
        "discord_%zz@loyalteez.app", "discord_%ff@loyalteez.app", "discord_%20@loyalteez.app",
    ],
)  # fmt: skip
def test_what_is_no_email_is_refused(text: str) -> None:
    with pytest.raises(InvalidEmailError):
        normalise(text, OWN)


@pytest.mark.parametrize(
    "text",
    [
        "discord:", "discord: ", "discord:1 2", "discord:1\x002", f"discord:{'1' * 201}",
        "eip155:0x12", "eip155:ab00000000000000000000000000000000000001", "solana:0OIl", "solana:abc",
    ],
)  # fmt: skip
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises((InvalidIdentifierError, InvalidEmailError)):
        normalise(text, OWN)


@pytest.mark.parametrize("platform", ["", "e mail", "email", "1discord", "dis_cord", "x" * 33])
def test_what_is_no_platform_is_refused(platform: str) -> None:
    with pytest.raises(InvalidIdentifierError):
        from_platform(platform, "1")


def test_a_platform_user_is_the_same_however_it_is_named() -> None:
    assert from_platform("Discord", "0123") == normalise("discord_0123@loyalteez.app") == normalise("discord:0123")


@given(st.text(max_size=40), st.sampled_from(["@example.org", "@loyalteez.app", "@users.example.org", ""]))
def test_s6_normalising_twice_changes_nothing_for_any_text(text: str, host: str) -> None:
    try:
        identity = normalise(text + host, OWN)
    except (InvalidEmailError, InvalidIdentifierError):
        return
    assert normalise(identity, OWN) == identity
    assert "\x00" not in identity
    identity.encode("utf-8")


@given(st.from_regex(r"[A-Za-z0-9.+-]{1,20}@[a-z]{1,10}\.org", fullmatch=True))
def test_s6_case_never_makes_another_person(text: str) -> None:
    assert normalise(text.upper(), OWN) == normalise(text.lower(), OWN)

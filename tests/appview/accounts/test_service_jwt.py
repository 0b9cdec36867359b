import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appview.accounts.service_jwt import MAX_LENGTH, BadToken, ServiceToken, read_token
from appview.keys import Curve
from tests.appview.accounts.tokens import ALGORITHMS, ORDERS, Issuer, absent, part

US = "did:web:music.test"
AUDIENCES = (US, f"{US}#plyr_appview")
METHOD = "fm.plyr.feed.getFeed"
NOW = 1_780_000_000.0
AT = int(NOW)
ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
CURVES: tuple[Curve, ...] = ("p256", "k256")
ISSUERS: dict[Curve, Issuer] = {curve: Issuer(ALICE, curve) for curve in CURVES}


def read(token: str, now: float = NOW) -> ServiceToken:
    return read_token(token, audiences=AUDIENCES, method=METHOD, now=now)


def refused(token: str, now: float = NOW) -> str:
    """The name of the error that `token` is refused with."""
    with pytest.raises(BadToken) as caught:
        read(token, now)
    assert str(caught.value).endswith(".")
    return caught.value.name


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("audience", AUDIENCES)
def test_a_token_as_a_pds_mints_it(curve: Curve, audience: str) -> None:
    alice = ISSUERS[curve]
    token = read(alice.token(audience, METHOD, NOW, jti="one"))
    assert (token.issuer, token.nonce, token.expires_at, token.curve) == (ALICE, "one", AT + 60, curve)
    assert token.is_signed_by(alice.key)
    assert not token.is_signed_by(Issuer(ALICE, curve, secret=7).key)
    assert not token.is_signed_by(None)


@pytest.mark.parametrize("curve", CURVES)
def test_the_key_is_of_the_curve_that_alg_names(curve: Curve) -> None:
    other = next(name for name in CURVES if name != curve)
    token = read(ISSUERS[curve].token(US, METHOD, NOW, header={"alg": ALGORITHMS[other]}))
    assert not token.is_signed_by(ISSUERS[curve].key)
    assert not token.is_signed_by(ISSUERS[other].key)


@pytest.mark.parametrize("curve", CURVES)
def test_the_high_s_is_as_good_as_the_low(curve: Curve) -> None:
    alice = ISSUERS[curve]
    signed, _, low = alice.token(US, METHOD, NOW).rpartition(".")
    high = alice.signature(signed, high=True)
    assert read(f"{signed}.{low}").is_signed_by(alice.key)
    assert read(f"{signed}.{part(high)}").is_signed_by(alice.key)
    assert alice.key.check(signed.encode(), high) == "high_s_signature", "commits are as strict as ever"


@pytest.mark.parametrize("curve", CURVES)
def test_no_other_bytes_are_a_signature(curve: Curve) -> None:
    alice, n = ISSUERS[curve], ORDERS[curve]
    signed = alice.token(US, METHOD, NOW).rpartition(".")[0]
    good = alice.signature(signed)
    r, s = int.from_bytes(good[:32]), int.from_bytes(good[32:])
    odd = [b"", good[:63], good + b"\0", good[:32] + b"\0" + good[32:], bytes(64), b"\xff" * 64]
    high = alice.signature(signed, high=True)
    odd += [high[:32] + b"\0" + high[32:], high + b"\0"]
    odd += [
        x.to_bytes(32) + y.to_bytes(32)
        for x, y in ((r, 0), (0, s), (r, n), (r, n - 1), (n, s), (s, r), (r, 2**256 - 1))
    ]
    for signature in odd:
        assert not alice.key.check_lenient(signed.encode(), signature)
        if signature:
            assert not read(f"{signed}.{part(signature)}").is_signed_by(alice.key)


BAD: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "BadJwt": [
        ({"alg": "none"}, {}),
        ({"alg": "HS256"}, {}),
        ({"alg": "RS256"}, {}),
        ({"alg": "es256"}, {}),
        ({"alg": None}, {}),
        ({"alg": ["ES256K"]}, {}),
        (absent(alg=1), {}),
        ({"kid": "#atproto_label"}, {}),
        ({"kid": f"{ALICE}#atproto"}, {}),
        ({"kid": None}, {}),
        ({"crit": ["b64"]}, {}),
        ({}, absent(exp=1)),
        ({}, absent(iat=1)),
        ({}, absent(jti=1)),
        ({}, {"jti": ""}),
        ({}, {"jti": 7}),
        ({}, {"exp": f"{AT + 60}"}),
        ({}, {"exp": AT + 60.5}),
        ({}, {"exp": True}),
        ({}, {"exp": None}),
        ({}, {"exp": 2**64}),
        ({}, {"iat": "now"}),
        ({}, {"nbf": "now"}),
        ({}, {"nbf": None}),
    ],
    "BadJwtType": [
        ({"typ": "at+jwt"}, {}),
        ({"typ": "refresh+jwt"}, {}),
        ({"typ": "dpop+jwt"}, {}),
        ({"typ": "AT+JWT"}, {}),
        ({"typ": "application/at+jwt"}, {}),
        ({"typ": 7}, {}),
    ],
    "BadJwtAudience": [
        ({}, {"aud": "did:web:other.test"}),
        ({}, {"aud": f"{US}#plyr_fg"}),
        ({}, {"aud": f"{US}#"}),
        ({}, {"aud": f"{US}.evil.test"}),
        ({}, {"aud": "did:web:music"}),
        ({}, {"aud": US.upper()}),
        ({}, {"aud": [US]}),
        ({}, {"aud": None}),
        ({}, absent(aud=1)),
    ],
    "BadJwtLexiconMethod": [
        ({}, {"lxm": "fm.plyr.feed.getFeedSkeleton"}),
        ({}, {"lxm": "fm.plyr.feed"}),
        ({}, {"lxm": f"{METHOD}#main"}),
        ({}, {"lxm": "*"}),
        ({}, {"lxm": [METHOD]}),
        ({}, absent(lxm=1)),
    ],
    "JwtExpired": [
        ({}, {"exp": AT - 6}),
        ({}, {"exp": 0}),
        ({}, {"exp": -(2**63)}),
        ({}, {"iat": AT + 301, "exp": AT + 361}),
        ({}, {"nbf": AT + 6}),
        ({}, {"exp": AT + 3601}),
        ({}, {"exp": 2**63 - 1}),
        ({}, {"iat": AT - 3000, "exp": AT + 601}),
    ],
    "BadJwtIss": [
        ({}, {"iss": f"{ALICE}#atproto_labeler"}),
        ({}, {"iss": "alice.test"}),
        ({}, {"iss": "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc"}),
        ({}, {"iss": "did:plc:"}),
        ({}, {"iss": f"{ALICE}\n"}),
        ({}, {"iss": "did:web:" + "a" * 3000}),
        ({}, {"iss": [ALICE]}),
        ({}, absent(iss=1)),
    ],
}


@pytest.mark.parametrize("name", BAD)
def test_each_claim_that_does_not_hold_has_its_name(name: str) -> None:
    for header, claims in BAD[name]:
        found = refused(ISSUERS["k256"].token(US, METHOD, NOW, header=header, **claims))
        assert found == name, (header, claims)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": AT - 5},
        {"iat": AT + 300, "exp": AT + 360},
        {"nbf": AT + 5},
        {"exp": AT + 3600},
        {"iat": AT - 3600, "exp": AT},
        {"iss": "did:web:alice.test"},
        {"sub": "anything", "more": [1.5]},
    ],
    ids=str,
)
def test_what_just_holds(claims: dict[str, Any]) -> None:
    assert read(ISSUERS["k256"].token(US, METHOD, NOW, **claims)).is_signed_by(ISSUERS["k256"].key)


@pytest.mark.parametrize("header", [{"kid": "#atproto"}, {"typ": "jwt"}, absent(typ=1), {"x": 1}])
def test_headers_that_do_no_harm(header: dict[str, Any]) -> None:
    assert read(ISSUERS["p256"].token(US, METHOD, NOW, header=header)).is_signed_by(ISSUERS["p256"].key)


def test_the_first_check_that_fails_is_told() -> None:
    """In the order of the table: cheap before dear, and nothing of a token for somebody else."""
    wrong: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("BadJwt", {"alg": "none"}, {}),
        ("BadJwtType", {"typ": "at+jwt"}, {}),
        ("BadJwt", {"kid": "#other"}, {}),
        ("BadJwtAudience", {}, {"aud": "did:web:other.test"}),
        ("BadJwtLexiconMethod", {}, {"lxm": "a.b.c"}),
        ("JwtExpired", {}, {"exp": 1}),
        ("BadJwtIss", {}, {"iss": "alice.test"}),
        ("BadJwt", {}, {"jti": ""}),
    ]
    header: dict[str, Any] = {}
    claims: dict[str, Any] = {}
    for name, more_header, more_claims in reversed(wrong):
        header |= more_header
        claims |= more_claims
        assert refused(ISSUERS["k256"].token(US, METHOD, NOW, header=header, **claims)) == name


HEADER = {"alg": "ES256K", "typ": "JWT"}
CLAIMS = {"iss": ALICE, "aud": US, "lxm": METHOD, "iat": AT, "exp": AT + 60, "jti": "1"}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        "a.b.c.d",
        f"{part(HEADER)}.{part(CLAIMS)}.",
        f"{part(HEADER)}.{part(CLAIMS)}.{part(bytes(64))}.{part({})}",
        f"{part(HEADER)}.{part(CLAIMS)}.{part(bytes(64))}\n",
        f"{part(HEADER)}.{part(CLAIMS)}.{part(bytes(64))}==",
        f" {part(HEADER)}.{part(CLAIMS)}.{part(bytes(64))}",
        f"{part(HEADER)}.{part(CLAIMS)}.{part(bytes(62))[:-1]}B",  # bits beyond the last byte
        f"{part(HEADER)}.{part(CLAIMS)}.{'A' * 85}",  # a character too many for bytes
        f"{part(HEADER)}.{base64.b64encode(json.dumps(CLAIMS).encode() + b'  ').decode()}.{part(bytes(64))}",
        f"{part([HEADER])}.{part(CLAIMS)}.{part(bytes(64))}",
        f"{part(HEADER)}.{part('claims')}.{part(bytes(64))}",
        f"{part(HEADER)}.{part(None)}.{part(bytes(64))}",
        f"{part(HEADER)}.{part(json.dumps(CLAIMS).encode()[:-1])}.{part(bytes(64))}",
        f"{part(HEADER)}.{part(b'{' + json.dumps('iss').encode() + b': NaN}')}.{part(bytes(64))}",
        f"{part(HEADER)}.{part(b'[' * 3000)}.{part(bytes(64))}",
        f"{part(HEADER)}.{part(b'{' + bytes([0xFF]) + b'}')}.{part(bytes(64))}",
        f"{part(HEADER)}.{part(CLAIMS | {'jti': '1' * MAX_LENGTH})}.{part(bytes(64))}",
        f"{part(HEADER)}.{part(CLAIMS)}.{part(bytes(64))}".replace(".", "\u0660"),
        f"{part(HEADER)}.{part(CLAIMS)}.é",
    ],
)
def test_what_is_no_token_at_all(token: str) -> None:
    assert refused(token) == "BadJwt"


def test_the_longest_names_fit() -> None:
    long = "did:web:" + "a" * 2040
    assert read_token(Issuer(long).token(long, METHOD, NOW), audiences=[long], method=METHOD, now=NOW).is_signed_by(
        ISSUERS["k256"].key
    )


@pytest.mark.parametrize("curve", CURVES)
def test_no_bit_can_be_changed(curve: Curve) -> None:
    alice = ISSUERS[curve]
    token = alice.token(US, METHOD, NOW)
    for place in range(0, len(token), 3):
        for bit in (1, 2, 4):
            tampered = token[:place] + chr(ord(token[place]) ^ bit) + token[place + 1 :]
            try:
                assert not read(tampered).is_signed_by(alice.key), place
            except BadToken:
                continue


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=5), scalars, max_size=2)


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: ".".join([part(raw)] * 3)))
def test_random_text_is_refused_in_our_own_terms(token: str) -> None:
    assert refused(token) == "BadJwt"


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit"]), anything),
    st.dictionaries(st.sampled_from([*CLAIMS, "nbf"]), anything),
)
def test_random_claims_are_read_or_refused_in_our_own_terms(header: dict[str, Any], claims: dict[str, Any]) -> None:
    token = f"{part(HEADER | header)}.{part(CLAIMS | claims)}.{part(bytes(64))}"
    try:
        found = read(token)
    except BadToken:
        return
    assert not found.is_signed_by(ISSUERS["k256"].key)

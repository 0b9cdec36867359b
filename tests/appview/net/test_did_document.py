"""DID documents and directory logs: real ones, then every way in which a part of one can be wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from coincurve import PublicKey as Secp256k1Key
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appview.keys import PublicKey
from appview.net.did_document import DidDocument, InvalidDocument, identity_at, origin_of, parse_document
from tests.shared import fixture

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
OTHER = "did:plc:44ybard66vv44zksje25o7dz"
K256 = "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc"
P256 = "zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo"
FAR = datetime(3000, 1, 1, tzinfo=UTC)


def document(**parts: object) -> dict[str, object]:
    return {"id": DID, **parts}


def method(**parts: object) -> dict[str, object]:
    return {"id": f"{DID}#atproto", "type": "Multikey", "controller": DID, "publicKeyMultibase": K256, **parts}


def pds(**parts: object) -> dict[str, object]:
    entry = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.music.net"}
    return {**entry, **parts}


def keys(*methods: object) -> DidDocument:
    return parse_document(DID, document(verificationMethod=list(methods)))


def services(*entries: object, dev: bool = False) -> DidDocument:
    return parse_document(DID, document(service=list(entries)), dev=dev)


def multibase(raw: bytes) -> str:
    alphabet, number, text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(raw), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    return "z" + text


# Real ones


@pytest.mark.parametrize("file", ["dids.json", "load.dids.json", "arroba/dids.json"])
def test_the_log_says_what_the_document_says(file: str) -> None:
    known: dict[str, Any] = orjson.loads(fixture(f"frames/{file}").read_bytes())
    read = 0
    for did, said in known.items():
        now = identity_at(did, said["log"], FAR, dev=True)
        if "id" in said["doc"]:
            parsed = parse_document(did, said["doc"], dev=True)
            assert parsed == now
            assert parsed.signing_key is not None
            assert parsed.handle is not None
            assert parsed.pds is not None
            assert parsed.faults == ()
            read += 1
    assert read > 0


def test_a_real_log_over_time() -> None:
    known: dict[str, Any] = orjson.loads(fixture("frames/dids.json").read_bytes())
    did, log = next((did, said["log"]) for did, said in known.items() if len(said["log"]) == 3)
    times = [datetime.fromisoformat(entry["createdAt"]) for entry in log]
    handles = [entry["operation"]["alsoKnownAs"][0].removeprefix("at://") for entry in log]

    def handle(when: datetime) -> str | None:
        then = identity_at(did, log, when, dev=True)
        assert then is not None
        return then.handle

    assert [handle(time) for time in times] == handles
    assert handle(times[0] - timedelta(days=1)) == handles[0]
    assert handle(times[1] - timedelta(milliseconds=1)) == handles[0]
    assert handle(times[2] - timedelta(milliseconds=1)) == handles[1]


# Whole documents


@pytest.mark.parametrize("whole", [None, [], "x", 7, {}, {"id": OTHER}, {"id": DID + "#"}, {"id": [DID]}, {"id": None}])
def test_not_this_dids_document(whole: object) -> None:
    with pytest.raises(InvalidDocument):
        parse_document(DID, whole)


@pytest.mark.parametrize("part", [None, {}, "x", 7, [None, 7, "x", [], {}, {"id": 7, "type": 8}, {"id": "#atproto"}]])
def test_malformed_parts_cost_themselves(part: object) -> None:
    parsed = parse_document(DID, document(alsoKnownAs=part, verificationMethod=part, service=part))
    assert parsed == DidDocument(DID)


# Handles


@pytest.mark.parametrize(
    ("names", "handle"),
    [
        (["at://alice.test"], "alice.test"),
        (["at://ALICE.Test"], "alice.test"),
        (["at://one.test", "at://two.test"], "one.test"),
        (["https://alice.net", 7, None, "at://", "at://no_handle", "at://alice.test/path", "at://ok.test"], "ok.test"),
        (["at://handle.invalid", "at://ok.test"], "handle.invalid"),
        (["alice.test"], None),
        (["AT://alice.test"], None),
        (["at://alice.test\n"], None),
        ([f"at://{OTHER}"], None),
        ([], None),
    ],
)
def test_handle(names: list[object], handle: str | None) -> None:
    assert parse_document(DID, document(alsoKnownAs=names)).handle == handle


# Keys


def uncompressed(key: PublicKey) -> bytes:
    if key.curve == "k256":
        return Secp256k1Key(key.compressed).format(compressed=False)
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.compressed)
    return point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@pytest.mark.parametrize("text", [K256, P256])
def test_every_form_of_a_key(text: str) -> None:
    key = PublicKey.from_multikey(text)
    legacy = {"k256": "EcdsaSecp256k1VerificationKey2019", "p256": "EcdsaSecp256r1VerificationKey2019"}[key.curve]
    forms = [
        method(publicKeyMultibase=text),
        method(publicKeyMultibase=text, id="#atproto"),
        method(type=legacy, publicKeyMultibase=multibase(key.compressed)),
        method(type=legacy, publicKeyMultibase=multibase(uncompressed(key)), id="#atproto"),
    ]
    assert len(uncompressed(key)) == 65
    for form in forms:
        assert keys(form).signing_key == key


@pytest.mark.parametrize(
    "wrong",
    [
        {"publicKeyMultibase": None},
        {"publicKeyMultibase": ""},
        {"publicKeyMultibase": "m" + K256[1:]},
        {"publicKeyMultibase": K256[:-1]},
        {"publicKeyMultibase": "z" + "1" * 100_000},
        {"publicKeyMultibase": {"x": K256}},
        {"type": "EcdsaSecp256k1VerificationKey2019"},
        {"type": "JsonWebKey2020"},
        {"type": "multikey"},
        {"controller": OTHER},
        {"controller": None},
    ],
)
def test_a_key_that_cannot_be_used(wrong: dict[str, object]) -> None:
    parsed = keys(method(**wrong))
    assert parsed.signing_key is None
    assert len(parsed.faults) == 1
    assert parsed.faults[0].startswith("#atproto: ")


@pytest.mark.parametrize(
    "identifier",
    [
        "#atproto_label",
        f"{DID}#atproto_label",
        f"{OTHER}#atproto",
        f"x{DID}#atproto",
        f"{DID}{DID}#atproto",
        f"{DID}/x#atproto",
        f"{DID}#atproto ",
        "##atproto",
        "#atproto#atproto",
        "#Atproto",
        "atproto",
        "#",
        "",
    ],
)
def test_an_id_that_is_not_the_signing_keys(identifier: str) -> None:
    parsed = keys(method(id=identifier))
    assert parsed.signing_key is None
    assert parsed.faults == ()


def test_the_first_match_counts() -> None:
    assert keys(method(), method(publicKeyMultibase=P256)).signing_key == PublicKey.from_multikey(K256)
    assert keys(method(publicKeyMultibase="z"), method()).signing_key is None


def test_an_entry_of_another_controller_or_type_is_no_match() -> None:
    good = method(publicKeyMultibase=P256)
    for other in (method(controller=OTHER), method(type="JsonWebKey2020"), method(id="#atproto_label")):
        parsed = keys(other, good)
        assert parsed.signing_key == PublicKey.from_multikey(P256)
        assert parsed.faults == ()


def test_label_key() -> None:
    parsed = keys(method(), method(id="#atproto_label", publicKeyMultibase=P256))
    assert parsed.signing_key == PublicKey.from_multikey(K256)
    assert parsed.label_key == PublicKey.from_multikey(P256)


# Services


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://pds.music.net", "https://pds.music.net"),
        ("https://pds.music.net/", "https://pds.music.net"),
        ("https://PDS.Music.net", "https://pds.music.net"),
        ("HTTPS://pds.music.net:443", "https://pds.music.net"),
        ("https://pds.music.net:8443", "https://pds.music.net:8443"),
        ("https://pds.music.net/path", None),
        ("https://pds.music.net//", None),
        ("https://pds.music.net?x", None),
        ("https://pds.music.net/?x", None),
        ("https://pds.music.net#x", None),
        ("https://user@pds.music.net", None),
        ("https://user:password@pds.music.net", None),
        ("https://@pds.music.net", None),
        ("https://pds.music.net:0", None),
        ("https://pds.music.net:65536", None),
        ("https://pds.music.net:", None),
        ("https://pds.music.net:+80", None),
        ("https://pds..music.net", None),
        ("https://.music.net", None),
        ("https://[::1]", None),
        ("https://pds.music.net\\@x", None),
        ("https://pds.music.net ", None),
        (" https://pds.music.net", None),
        ("https://pds.music.net\n", None),
        ("https://p\u00e4s.music.net", None),
        ("https://\u212aelvin.net", None),
        ("https://" + "a" * 254, None),
        ("https://", None),
        ("http://pds.music.net", None),
        ("wss://pds.music.net", None),
        ("pds.music.net", None),
        ("", None),
        (None, None),
        ({"uri": "https://pds.music.net"}, None),
        (["https://pds.music.net"], None),
    ],
)
def test_origin(url: object, origin: str | None) -> None:
    parsed = services(pds(serviceEndpoint=url))
    assert parsed.pds == origin
    assert bool(parsed.faults) is (origin is None)


def test_http_in_development() -> None:
    assert services(pds(serviceEndpoint="http://localhost:2583"), dev=True).pds == "http://localhost:2583"
    assert origin_of("http://localhost:80/", dev=True) == "http://localhost"
    assert origin_of("http://localhost:2583/x", dev=True) is None


def test_service_ids_and_types() -> None:
    assert services(pds(id=f"{DID}#atproto_pds")).pds == "https://pds.music.net"
    for identifier in ("#atproto_pds2", "#pds", f"{OTHER}#atproto_pds"):
        assert services(pds(id=identifier)).pds is None
    for kind in ("AtprotoLabeler", None):
        assert services(pds(type=kind)).pds is None


def test_the_first_service_counts() -> None:
    second = pds(serviceEndpoint="https://second.music.net")
    assert services(pds(), second).pds == "https://pds.music.net"
    assert services(pds(serviceEndpoint="ftp://x"), second).pds is None
    assert services(pds(type="Other"), second).pds == "https://second.music.net"


def test_other_services() -> None:
    parsed = services(
        pds(),
        pds(id="#atproto_labeler", type="AtprotoLabeler", serviceEndpoint="https://labels.music.net"),
        pds(id="#bsky_fg", type="BskyFeedGenerator", serviceEndpoint="https://feeds.music.net"),
        pds(id="#\0", type="\0"),
    )
    assert parsed.labeler == "https://labels.music.net"
    assert parsed.service("#bsky_fg", "BskyFeedGenerator") == "https://feeds.music.net"
    assert parsed.service("#bsky_fg", "Other") is None
    assert len(parsed.services) == 3


# Logs


def operation(time: str, *, nullified: object = False, did: str = DID, **parts: object) -> dict[str, object]:
    kind = {"type": "plc_operation", "alsoKnownAs": [], "verificationMethods": {}, "services": {}}
    return {"did": did, "operation": {**kind, **parts}, "cid": "b", "nullified": nullified, "createdAt": time}


def named(time: str, name: str, *, nullified: object = False) -> dict[str, object]:
    return operation(time, nullified=nullified, alsoKnownAs=[f"at://{name}.test"])


def at(log: object, when: str) -> DidDocument | None:
    return identity_at(DID, log, datetime.fromisoformat(when))


def test_nullified_operations_do_not_count() -> None:
    log = [named("2024-01-01T00:00:00Z", "a"), named("2024-01-02T00:00:00Z", "b", nullified=True),
           named("2024-01-03T00:00:00Z", "c")]  # fmt: skip
    names = [at(log, f"2024-01-0{day}T12:00:00Z") for day in (1, 2, 3)]
    assert [name and name.handle for name in names] == ["a.test", "a.test", "c.test"]


def test_order_is_by_time_then_by_place() -> None:
    log = [
        named("2024-01-03T00:00:00Z", "c"),
        named("2024-01-01T00:00:00+01:00", "a"),
        named("2023-12-31T23:00:00Z", "b"),
    ]
    then = at(log, "2024-01-02T00:00:00Z")
    assert then is not None
    assert then.handle == "b.test"


def test_tombstone() -> None:
    log = [named("2024-01-01T00:00:00Z", "a"), operation("2024-01-02T00:00:00Z", type="plc_tombstone")]
    assert at(log, "2024-01-01T12:00:00Z") is not None
    assert at(log, "2024-01-02T00:00:00Z") is None


@pytest.mark.parametrize("scheme", [True, False])
def test_the_oldest_form(scheme: bool) -> None:
    handle, service = ("at://alice.test", "https://pds.music.net") if scheme else ("alice.test", "pds.music.net")
    log = [
        operation(
            "2022-11-17T00:35:16.391Z", type="create", signingKey=f"did:key:{K256}", handle=handle, service=service
        )
    ]
    then = at(log, "2023-01-01T00:00:00Z")
    assert then is not None
    assert (then.handle, then.pds) == ("alice.test", "https://pds.music.net")
    assert then.signing_key == PublicKey.from_multikey(K256)


def test_operation_with_everything() -> None:
    log = [
        operation(
            "2024-01-01T00:00:00Z",
            alsoKnownAs=["at://alice.test"],
            verificationMethods={"atproto": f"did:key:{K256}", "atproto_label": f"did:key:{P256}"},
            services={
                "atproto_pds": {"type": "AtprotoPersonalDataServer", "endpoint": "https://pds.music.net"},
                "atproto_labeler": {"type": "AtprotoLabeler", "endpoint": "https://labels.music.net"},
            },
        )
    ]
    then = at(log, "2024-01-02T00:00:00Z")
    assert then is not None
    assert (then.signing_key, then.label_key) == (PublicKey.from_multikey(K256), PublicKey.from_multikey(P256))
    assert (then.pds, then.labeler, then.faults) == ("https://pds.music.net", "https://labels.music.net", ())


@pytest.mark.parametrize("parts", [None, 7, [], "x", {"atproto": None, "atproto_pds": None}, {"atproto": "did:web:x"}])
def test_malformed_parts_of_an_operation(parts: object) -> None:
    log = [operation("2024-01-01T00:00:00Z", alsoKnownAs=parts, verificationMethods=parts, services=parts)]
    assert at(log, "2024-01-02T00:00:00Z") == DidDocument(DID)


@pytest.mark.parametrize(
    "log",
    [
        None, {}, [], "x", [None], [7], [{}],
        [named("2024-01-01", "a")],
        [named("0000-01-01T00:00:00Z", "a")],
        [named("0001-01-01T00:00:00+23:00", "a")],
        [named("2024-01-01T00:00:00Z", "a", nullified=True)],
        [operation("2024-01-01T00:00:00Z", did=OTHER)],
        [operation("2024-01-01T00:00:00Z", type="plc_new")],
        [operation("2024-01-01T00:00:00Z", type=None)],
        [{"did": DID, "operation": None, "createdAt": "2024-01-01T00:00:00Z"}],
        [{"did": DID, "operation": {}, "createdAt": 7}],
    ],
)  # fmt: skip
def test_not_a_log(log: object) -> None:
    with pytest.raises(InvalidDocument):
        at(log, "2024-01-02T00:00:00Z")

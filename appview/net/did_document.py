"""What a DID document says, and what the PLC directory's log says it said at some time. Pure.

A document comes from strangers. What is malformed in a part of it costs that part, with its reason among the faults;
only a document that is not this DID's, or none at all, raises. An entry matches when its id (the whole fragment), its
type and, for keys, its controller are right; of several that match the first counts, usable or not (ID-20 to ID-24).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from appview.keys import InvalidKey, PublicKey
from lexicons.formats import is_datetime, is_handle

PDS: Final = ("#atproto_pds", "AtprotoPersonalDataServer")
LABELER: Final = ("#atproto_labeler", "AtprotoLabeler")
SIGNING_KEY: Final = "#atproto"
LABEL_KEY: Final = "#atproto_label"
MAX_SERVICES: Final = 10
"""Of one document; honest ones have one or two, and a stranger's must not fill the memory."""

_KEY_TYPES: Final = frozenset(
    {"Multikey", "EcdsaSecp256r1VerificationKey2019", "EcdsaSecp256k1VerificationKey2019"},
)
# Scheme, host, port, and at most the slash that stands for an empty path; no user, path, query or fragment.
_match_origin = re.compile(r"(https?)://([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::([0-9]{1,5}))?/?").fullmatch
_is_name = re.compile(r"[!-~]{1,256}").fullmatch
_DEFAULT_PORT: Final = {"http": 80, "https": 443}


class InvalidDocument(ValueError):
    """The JSON is not a DID document of the DID asked for, or not a log of the directory."""


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of a document's services: the id's fragment with its `#`, and an origin URL or None."""

    fragment: str
    type: str
    endpoint: str | None


@dataclass(frozen=True, slots=True)
class DidDocument:
    """The parts of a DID document that the protocol uses. `faults` says why a part that is there was not taken."""

    did: str
    handle: str | None = None
    """Claimed, not verified; lower case."""
    signing_key: PublicKey | None = None
    label_key: PublicKey | None = None
    services: tuple[Service, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def pds(self) -> str | None:
        """The origin of the account's PDS (ID-23)."""
        return self.service(*PDS)

    @property
    def labeler(self) -> str | None:
        """The origin of the labeler that this DID is, if it is one."""
        return self.service(*LABELER)

    def service(self, fragment: str, type_: str) -> str | None:
        """The origin of the first service with this id (`#bsky_fg`) and type, or None."""
        for service in self.services:
            if (service.fragment, service.type) == (fragment, type_):
                return service.endpoint
        return None


def parse_document(did: str, document: object, *, dev: bool = False) -> DidDocument:
    """Read the JSON of a DID document. With `dev`, services may be on http. Raises InvalidDocument."""
    if not isinstance(document, Mapping):
        raise InvalidDocument("A DID document is not a JSON object.")
    if document.get("id") != did:
        raise InvalidDocument("A DID document is that of another DID.")
    faults: list[str] = []
    keys = list(_entries(document, "verificationMethod"))
    return DidDocument(
        did=did,
        handle=_first_handle(document.get("alsoKnownAs")),
        signing_key=_key(did, SIGNING_KEY, keys, faults),
        label_key=_key(did, LABEL_KEY, keys, faults),
        services=tuple(islice(_services(did, document, faults, dev=dev), MAX_SERVICES)),
        faults=tuple(faults),
    )


def render_document(document: DidDocument) -> dict[str, object]:
    """The JSON of the plainest DID document that `parse_document` reads as this one, its faults apart."""
    keys = ((SIGNING_KEY, document.signing_key), (LABEL_KEY, document.label_key))
    return {
        "id": document.did,
        "alsoKnownAs": [f"at://{document.handle}"] if document.handle else [],
        "verificationMethod": [
            {
                "id": document.did + fragment,
                "type": "Multikey",
                "controller": document.did,
                "publicKeyMultibase": key.multikey(),
            }
            for fragment, key in keys
            if key is not None
        ],
        "service": [
            {"id": service.fragment, "type": service.type, "serviceEndpoint": service.endpoint}
            for service in document.services
        ],
    }


def identity_at(did: str, log: object, when: datetime, *, dev: bool = False) -> DidDocument | None:
    """What the document of a did:plc said at `when` (aware), by its audit log; None where it was a tombstone.

    Counts the last operation that was not nullified and not later than `when`; before the first, the first. Raises
    InvalidDocument.
    """
    if not isinstance(log, list) or not log:
        raise InvalidDocument("A directory's log is not a list of operations.")
    operations = sorted(
        ((_created_at(did, entry), entry["operation"]) for entry in log if not _is_nullified(entry)),
        key=lambda dated: dated[0],
    )
    if not operations:
        raise InvalidDocument("A directory's log holds no operation that counts.")
    in_force = [operation for created_at, operation in operations if created_at <= when]
    return _from_operation(did, in_force[-1] if in_force else operations[0][1], dev=dev)


def origin_of(url: object, *, dev: bool = False) -> str | None:
    """The origin that `url` is, in its shortest form, or None when it is anything else; http only with `dev`."""
    # Lower-casing turns one letter outside ASCII, the Kelvin sign, into one inside.
    if not isinstance(url, str) or not url.isascii() or (match := _match_origin(url.lower())) is None:
        return None
    scheme, host, port = match[1], match[2], int(match[3]) if match[3] else _DEFAULT_PORT[match[1]]
    if (scheme == "http" and not dev) or ".." in host or not 0 < port < 65536:
        return None
    return f"{scheme}://{host}" if port == _DEFAULT_PORT[scheme] else f"{scheme}://{host}:{port}"


def _entries(document: Mapping[str, object], name: str) -> Iterator[Mapping[str, object]]:
    entries = document.get(name)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), str) and isinstance(entry.get("type"), str):
            yield entry


def _fragment(did: str, identifier: object) -> str | None:
    """The fragment of an id that is relative or this DID's own, with its `#`."""
    text = str(identifier).removeprefix(did)
    return text if text.startswith("#") and _is_name(text) else None


def _first_handle(names: object) -> str | None:
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str) and name.startswith("at://") and is_handle(name[5:]):
            return name[5:].lower()
    return None


def _key(did: str, fragment: str, entries: list[Mapping[str, object]], faults: list[str]) -> PublicKey | None:
    named = [entry for entry in entries if _fragment(did, entry["id"]) == fragment]
    for entry in named:
        if entry.get("controller") != did or entry["type"] not in _KEY_TYPES:
            continue
        type_, multibase = str(entry["type"]), entry.get("publicKeyMultibase")
        try:
            if not isinstance(multibase, str):
                raise InvalidKey("its publicKeyMultibase is not a string")
            if type_ == "Multikey":
                return PublicKey.from_multikey(multibase)
            return PublicKey.from_legacy(type_, multibase)
        except InvalidKey as error:
            faults.append(f"{fragment}: {error}")
            return None
    if named:
        faults.append(f"{fragment}: another controller, or a type that the protocol does not know")
    return None


def _services(did: str, document: Mapping[str, object], faults: list[str], *, dev: bool) -> Iterator[Service]:
    for entry in _entries(document, "service"):
        fragment, type_ = _fragment(did, entry["id"]), str(entry["type"])
        if fragment is None or not _is_name(type_):
            continue
        endpoint = origin_of(entry.get("serviceEndpoint"), dev=dev)
        if endpoint is None:
            faults.append(f"{fragment}: its endpoint is not the URL of an https origin")
        yield Service(fragment, type_, endpoint)


def _created_at(did: str, entry: object) -> datetime:
    if not isinstance(entry, Mapping) or entry.get("did") != did or not isinstance(entry.get("operation"), Mapping):
        raise InvalidDocument("An entry of a directory's log is not an operation on this DID.")
    created_at = entry.get("createdAt")
    if not isinstance(created_at, str) or not is_datetime(created_at):
        raise InvalidDocument("An operation in a directory's log has no time.")
    try:
        return datetime.fromisoformat(created_at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidDocument("An operation in a directory's log has a time outside all calendars.") from None


def _is_nullified(entry: object) -> bool:
    return isinstance(entry, Mapping) and entry.get("nullified") is True


def _from_operation(did: str, operation: Mapping[str, object], *, dev: bool) -> DidDocument | None:
    """Write the document as the directory does, and read that."""
    match operation.get("type"):
        case "plc_tombstone":
            return None
        case "plc_operation":
            names, keys = operation.get("alsoKnownAs"), operation.get("verificationMethods")
            services = operation.get("services")
        case "create":  # the form of 2022, whose handle and service may stand without their schemes
            handle, host = str(operation.get("handle")), str(operation.get("service"))
            names, keys = ["at://" + handle.removeprefix("at://")], {"atproto": operation.get("signingKey")}
            services = {"atproto_pds": {"type": PDS[1], "endpoint": host if "://" in host else "https://" + host}}
        case _:
            raise InvalidDocument("An operation in a directory's log is of an unknown type.")
    return parse_document(
        did,
        {
            "id": did,
            "alsoKnownAs": names,
            "verificationMethod": [
                {"id": f"#{name}", "controller": did, "type": "Multikey", "publicKeyMultibase": key[8:]}
                for name, key in _items(keys)
                if isinstance(key, str) and key.startswith("did:key:")
            ],
            "service": [
                {"id": f"#{name}", "type": service.get("type"), "serviceEndpoint": service.get("endpoint")}
                for name, service in _items(services)
                if isinstance(service, Mapping)
            ],
        },
        dev=dev,
    )


def _items(value: object) -> Iterable[tuple[object, object]]:
    return value.items() if isinstance(value, Mapping) else ()

"""Random lives on a made-up network: accounts that write, like, edit, delete, move, hide and come back, from a seed."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.network import records
from tests.system.odd import GHOST, SOME_CID, data, elsewhere, odd_records
from tests.system.synthetic import Account, Pds
from tests.writer.cbor import encode
from tests.writer.keys import CURVES, SigningKey
from tests.writer.repo import Write

GENERATOR = "fm.plyr.feed.generator"
FOLLOW = "app.bsky.graph.follow"
BSKY_PROFILE = "app.bsky.actor.profile"
PLAY = "fm.teal.alpha.feed.play"
BLOB = {
    "$type": "blob",
    "ref": {"$link": "bafkreifnvhfnyy7p3ara2gdyv6krztsd26luv2mi45j7hw3sreq7xjpd24"},
    "mimeType": "audio/mpeg",
    "size": 1_000,
}


class Life:
    """What goes on between the accounts of `pdses`: each `step` is one thing that somebody does, or that befalls them.

    `quiet` leaves out what changes accounts rather than records; `favours` says how much more often than otherwise some
    of that happens: `{"rotate": 20}`.
    """

    def __init__(
        self,
        rng: random.Random,
        pdses: Sequence[Pds],
        accounts: int,
        *,
        quiet: bool = False,
        favours: Mapping[str, float] | None = None,
    ) -> None:
        self.rng = rng
        self.accounts: list[Account] = []
        self.done: Counter[str] = Counter()
        """What has happened to accounts, and `write`: how often each."""
        self._pdses = pdses
        self._songs: list[str] = [GHOST["uri"]]
        self._gone: list[tuple[Account, str]] = []
        self._promised: list[tuple[Account, str]] = []
        self._odd = [odd for odd in odd_records(GHOST, GHOST, BLOB) if odd.rkey is None] + list(elsewhere(GHOST))
        self._events: dict[str, tuple[float, Callable[[Account], None]]] = {
            "sync": (0.3, self._sync),
            "identity": (0.3, self._identity),
            "empty commit": (0.3, self._empty_commit),
            "hide": (0.27, self._hide),
            "delete": (0.03, self._delete),
            "return": (0.03, self._return),
            "rotate": (0.2, self._rotate),
            "migrate": (0.15, self._migrate),
        }
        self._weights = [weight * (favours or {}).get(name, 1) for name, (weight, _) in self._events.items()]
        self._chance = 0.0 if quiet else 0.12
        for _ in range(accounts):
            self._join()

    def step(self) -> Account:
        """Somebody does something; who it was."""
        account = self.rng.choice([account for account in self.accounts if account.status != "deleted"])
        if not account.active:
            self.done["come back"] += 1
            account.set_status(None)
        elif self.rng.random() < self._chance:
            name = self.rng.choices(list(self._events), self._weights)[0]
            self.done[name] += 1
            self._events[name][1](account)
        else:
            self.done["write"] += 1
            self.write(account)
        return account

    def write(self, account: Account) -> None:
        """A commit of one write or a few."""
        writes: dict[str, Write] = {}
        for _ in range(self.rng.choice((1, 1, 1, 2, 5))):
            write = self._write(account)
            writes.setdefault(write.path, write)
        account.write(*writes.values())

    # --- records ---

    def _write(self, account: Account) -> Write:
        present = list(account.repo.leaves)
        roll = self.rng.random()
        if present and roll < 0.2:
            path = self.rng.choice(present).decode()
            self._gone.append((account, path))
            return Write("delete", path)
        if present and roll < 0.45:
            path = self.rng.choice(present).decode()
            return Write("update", path, self._record(account, path.partition("/")[0]))
        path = self._new_path(account)
        return Write("create", path, self._record(account, path.partition("/")[0]))

    def _new_path(self, account: Account) -> str:
        """Where nothing is now: where something was, where something was said to come, or anywhere."""
        for places, chance in ((self._gone, 0.3), (self._promised, 0.5)):
            free = [
                path for owner, path in places if owner.did == account.did and path.encode() not in account.repo.leaves
            ]
            if free and self.rng.random() < chance:
                return self.rng.choice(free)
        collection = self.rng.choices(_COLLECTIONS, _WEIGHTS)[0]
        if collection in (records.PROFILE, BSKY_PROFILE):
            path = f"{collection}/self"
            if path.encode() not in account.repo.leaves:
                return path
            collection = records.TRACK
        rkey = account.pds.host.tid() if self.rng.random() < 0.97 else f"name-{self.rng.getrandbits(16)}"
        path = f"{collection}/{rkey}"
        if collection == records.TRACK:
            self._songs.append(account.uri(path))
        return path

    def _record(self, account: Account, collection: str) -> Any:
        if self.rng.random() < 0.15:
            odd = [odd for odd in self._odd if odd.collection == collection]
            if odd:
                # No two alike: of a large block that stands twice in one commit, one is taken.
                unlike = {"unlike": self.rng.getrandbits(32)}
                return {"$type": collection} | data(self.rng.choice(odd).value) | unlike
        if self.rng.random() < 0.01:
            return encode([collection])  # not even a map
        return {"$type": collection} | self._plain(account, collection)

    def _plain(self, account: Account, collection: str) -> Any:
        song = {"uri": self._song(), "cid": SOME_CID}
        at = {"createdAt": records.CREATED_AT}
        number = self.rng.randrange(100)
        match collection:
            case records.TRACK:
                return records.track(f"Song {number}", **({"audioBlob": data(BLOB)} if number % 3 else {}))
            case records.LIKE:
                return {"subject": song} | at
            case records.COMMENT:
                return {"subject": song, "text": f"{number}", "timestampMs": number} | at
            case records.LIST:
                items = [{"subject": {"uri": self._song(), "cid": SOME_CID}} for _ in range(number % 4)]
                named = {"name": f"Mix {number}", "listType": self.rng.choice(("album", "playlist"))}
                return {"items": items} | at | (named if number % 4 else {})
            case records.PROFILE:
                return {"bio": f"Bio {number}"} | at
            case _ if collection == FOLLOW:
                return {"subject": self.rng.choice(self.accounts).did} | at
            case _ if collection == BSKY_PROFILE:
                return {"displayName": f"Name {number}"}
            case _ if collection == GENERATOR:
                return {"did": "did:web:feeds.example", "displayName": f"Feed {number}"} | at
            case _ if collection == PLAY:
                return {"trackName": f"Song {number}", "originUrl": song["uri"], "playedTime": records.CREATED_AT}
            case _:
                return {"text": f"{number}"}

    def _song(self) -> str:
        """A track of somebody's, which may be gone, or still to come."""
        if self.rng.random() < 0.1:
            owner = self.rng.choice(self.accounts)
            path = f"{records.TRACK}/{owner.pds.host.tid()}"
            self._promised.append((owner, path))
            self._songs.append(owner.uri(path))
        # Mostly the newest few, so that accounts meet.
        return self.rng.choice(self._songs[-8:] if self.rng.random() < 0.8 else self._songs)

    # --- accounts ---

    def _join(self) -> None:
        name = f"user{len(self.accounts)}-{self.rng.getrandbits(32):08x}"
        self.accounts.append(self.rng.choice(self._pdses).create_account(name))

    def _sync(self, account: Account) -> None:
        account.emit(account.repo.sync())

    def _identity(self, account: Account) -> None:
        account.emit(account.repo.identity())

    def _empty_commit(self, account: Account) -> None:
        account.write()

    def _hide(self, account: Account) -> None:
        account.set_status(self.rng.choices(("deactivated", "takendown", "suspended"), (6, 3, 2))[0])

    def _delete(self, account: Account) -> None:
        account.set_status("deleted")
        self._join()

    def _return(self, _: Account) -> None:
        """One that was deleted begins anew elsewhere."""
        for place, account in enumerate(self.accounts):
            free = [pds for pds in self._pdses if account.did not in pds.accounts]
            if account.status == "deleted" and free:
                pds = self.rng.choice(free)
                pds.host.now_us = max(pds.host.now_us, account.pds.host.now_us)
                self.accounts[place] = pds.create_account(
                    f"again{place}-{self.rng.getrandbits(32):08x}", did=account.did
                )
                return

    def _rotate(self, account: Account) -> None:
        seed = f"{account.did} {self.rng.getrandbits(32)}"
        key = SigningKey.from_seed(seed, self.rng.choice(CURVES))
        frame = account.repo.rotate(key)
        account.pds.directory.register(account.repo)
        account.emit(frame)

    def _migrate(self, account: Account) -> None:
        others = [pds for pds in self._pdses if pds is not account.pds and account.did not in pds.accounts]
        if others:
            self.accounts[self.accounts.index(account)] = account.migrate(self.rng.choice(others))


_COLLECTIONS, _WEIGHTS = zip(
    *{
        records.TRACK: 4,
        records.LIKE: 5,
        records.COMMENT: 2,
        records.LIST: 3,
        records.PROFILE: 1,
        BSKY_PROFILE: 0.7,
        FOLLOW: 2,
        GENERATOR: 0.5,
        PLAY: 1,
        "app.bsky.feed.post": 1,
        "fm.plyr.dev.track": 0.3,
    }.items(),
    strict=True,
)

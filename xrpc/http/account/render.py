"""The pages about accounts as HTML. Pure: what is shown comes in, one document comes out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from string import Template
from typing import Final, NamedTuple
from zlib import crc32

from appview.accounts.developer_tokens import MAX_NAME, Listed
from appview.accounts.erasure import Erasure
from appview.accounts.overview import Permission
from appview.config import Config
from appview.reads.times import instant
from xrpc.http.account.layout import document, template
from xrpc.http.account.words import Words
from xrpc.http.page.html import Html, fill, joined

_PERSON: Final = template("person")
_ACCOUNTS: Final = template("accounts")
_ACCOUNT: Final = template("account_row")
_EVERYBODY: Final = template("everybody")
_SWITCH: Final = template("switch")
_PERMISSION: Final = template("permission")
_LACKS: Final = template("lacks")
_EVERYWHERE: Final = template("everywhere")
_OVER: Final = template("over")
_TOKENS: Final = template("tokens")
_TOKEN: Final = template("token_row")
_TOKEN_MADE: Final = template("token_made")
_DATA: Final = template("data")
_DELETE: Final = template("delete")
_SIGN_IN: Final = template("sign_in")
_SIGN_OUT: Final = template("sign_out")

_IMAGE: Final = Template('<img src="$url" alt="" width="72" height="72" decoding="async" referrerpolicy="no-referrer">')
_TAG: Final = Template('<span class="tag $kind">$text</span>')
_UNDER: Final = Template("<p><bdi>$text</bdi></p>")
_NOTE: Final = Template('<p class="card said good" role="status">$text</p>\n')
_ERASURE: Final = Template('<p role="status">What is held here is being deleted since $since.$gone$reason</p>\n')
_ROWS: Final = Template('<ul class="rows">\n$rows</ul>\n')
_ITEM: Final = Template("<li>$text</li>\n")
_OPTION: Final = Template('<option value="$days"$selected>$text</option>\n')
_TIME: Final = Template('<time datetime="$at">$text</time>')
_SELECTED: Final = Html(" selected")

LIVES: Final[Mapping[int, str]] = {7: "a week", 30: "a month", 90: "three months", 365: "a year"}
"""For how many days a developer token can be made."""
_USUAL_LIFE: Final = 90
_COLORS: Final = 6
_MAX_TITLE: Final = 100
_MAX_IMAGE_URL: Final = 500

NOTES: Final[Mapping[str, str]] = {
    "signed-in": "You are signed in.",
    "signed-out": "You are signed out.",
    "ended": "The permission is ended, and its server was told, or will be as soon as it answers.",
    "ended-later": "All is ended but the permission by which your records are being deleted, which ends with that.",
    "revoked": "The token was revoked.",
    "deleting": "Your records are being deleted, and then what is held here. You are signed out when that is done.",
    "deleted": "What was held here about that account is deleted, or will be within minutes.",
}
"""What a page may begin with, by the `note` in its address."""


class Person(NamedTuple):
    """An account as it is shown to its owner."""

    did: str
    name: str | None = None
    handle: str | None = None
    avatar: str | None = None

    @property
    def title(self) -> str:
        """What to call it in a word."""
        return _cut(self.name or (f"@{self.handle}" if self.handle else self.did))


class Home(NamedTuple):
    """What the page of a browser with a session shows; as whom it acts comes first."""

    people: Sequence[Person]
    live: frozenset[str]
    """The DIDs of those whose permission is not over."""
    permission: Permission | None
    """That of the first person; None: it is over."""
    may: Words
    tokens: Sequence[Listed]
    erasure: Erasure | None
    """That of the first person, where there is one."""
    form_token: str
    note: str | None


def home(config: Config, content: Home) -> Html:
    """The page at `/account`."""
    current = content.people[0]
    token = content.form_token
    body = joined(
        _note(content.note),
        _accounts(content),
        _permission(content, current),
        _tokens(content, current),
        fill(_DATA, token=token, did=current.did, erasure=_erasure(content.erasure)),
    )
    lead = f"Signed in as {current.title}" + (f", @{current.handle}." if current.name and current.handle else ".")
    return document(config, "Your account", lead=lead, body=body)


class Begin(NamedTuple):
    """What a sign-in begins with."""

    account: str
    """As typed, or as the link that led here says."""
    return_to: str
    scope: str
    is_led: bool
    """A page of another origin led here."""


def sign_in(config: Config, token: str, begin: Begin, note: str | None) -> Html:
    """The form that begins a sign-in."""
    lead = "Like, comment and make playlists, and keep all of it in a repository of your own."
    if begin.is_led and begin.account:
        lead = "A link led you here to sign in with this account. Go on only if it is yours."
    body = fill(_SIGN_IN, token=token, account=begin.account, return_to=begin.return_to, scope=begin.scope)
    return document(config, "Sign in", lead=lead, body=joined(_note(note), body))


def sign_out(config: Config, token: str, people: Sequence[Person]) -> Html:
    """The question whether to sign out."""
    which = "this account" if len(people) == 1 else f"all {len(people)} accounts"
    rows = joined(*(fill(_ITEM, text=_person(person)) for person in people))
    body = fill(_SIGN_OUT, token=token, people=fill(_ROWS, rows=rows), which=which)
    lead = "What this browser was allowed is ended at your server too."
    return document(config, "Sign out", lead=lead, body=body)


def token_made(config: Config, secret: str, name: str, who: Person, expires_at: datetime) -> Html:
    """The one time that a developer token is shown."""
    body = fill(
        _TOKEN_MADE,
        name=_cut(name),
        secret=secret,
        who=who.title,
        ends=joined(Html("ends on "), _day(expires_at)),
        origin=config.public_url,
        namespace=config.namespace,
    )
    return document(config, "Your developer token", lead="It is as good as a password: keep it like one.", body=body)


def delete(config: Config, token: str, person: Person) -> Html:
    """The question whether to delete what is held here about an account."""
    handle = confirmation(person)
    body = fill(_DELETE, token=token, did=person.did, person=_person(person, large=True), handle=handle)
    return document(config, "Delete your data", lead="All that this server holds about you.", body=body)


def confirmation(person: Person) -> str:
    """What is to be typed to confirm that this account's data is to be deleted."""
    return person.handle or person.did


def _accounts(content: Home) -> Html:
    rows = [_account(content, person, is_current=n == 0) for n, person in enumerate(content.people)]
    everybody = fill(_EVERYBODY, token=content.form_token) if len(rows) > 1 else ""
    return fill(_ACCOUNTS, rows=joined(*rows), token=content.form_token, everybody=everybody)


def _account(content: Home, person: Person, *, is_current: bool) -> Html:
    fields = {"token": content.form_token, "did": person.did, "name": person.title}
    is_live = person.did in content.live
    switch = fill(_SWITCH, button="Switch" if is_live else "Sign in again", **fields)
    tag = ("in use" if is_current and len(content.people) > 1 else "") if is_live else "ended"
    return fill(
        _ACCOUNT,
        person=_person(person, large=is_current, tag=tag),
        switch="" if is_current and is_live else switch,
        **fields,
    )


def _person(person: Person, *, large: bool = False, tag: str = "") -> Html:
    under = f"@{person.handle}" if person.name and person.handle else person.did
    has_image = person.avatar is not None and len(person.avatar) <= _MAX_IMAGE_URL
    return fill(
        _PERSON,
        large=" large" if large else "",
        color=crc32(person.did.encode()) % _COLORS,
        image=fill(_IMAGE, url=person.avatar) if has_image else "",
        name=person.title,
        tag=fill(_TAG, kind="bad" if tag == "ended" else "good", text=tag) if tag else "",
        under=fill(_UNDER, text=under) if under != person.title else "",
    )


def _permission(content: Home, current: Person) -> Html:
    token, permission, may = content.form_token, content.permission, content.may
    if permission is None:
        return fill(_OVER, token=token, did=current.did)
    lacks = [fill(_ITEM, text=words) for words in may.lacks]
    return fill(
        _PERMISSION,
        since=_day(permission.since),
        server=permission.server,
        may=joined(*(fill(_ITEM, text=words) for words in may.may)),
        lacks=fill(_LACKS, lacks=joined(*lacks), token=token, did=current.did) if lacks else "",
        scope=permission.scope,
        everywhere=_everywhere(permission, token, current.did),
        token=token,
        did=current.did,
    )


def _everywhere(permission: Permission, token: str, did: str) -> Html:
    """The button that ends all other permissions too, where there are some."""
    counted = ((permission.browsers, "other browser"), (permission.tokens, "developer token"))
    others = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in counted if n]
    return fill(_EVERYWHERE, others=" and ".join(others), token=token, did=did) if others else Html()


def _tokens(content: Home, current: Person) -> Html:
    rows = [
        fill(
            _TOKEN,
            name=token.name,
            tag="" if token.is_live else fill(_TAG, kind="bad", text="ended"),
            made=_day(token.created_at),
            ends=joined(Html("ends "), _day(token.expires_at)),
            used=joined(Html("last used "), _day(token.used_at)) if token.used_at else "never used",
            id=token.id,
            token=content.form_token,
            did=current.did,
        )
        for token in content.tokens
    ]
    lives = [
        fill(_OPTION, days=days, text=text, selected=_SELECTED if days == _USUAL_LIFE else "")
        for days, text in LIVES.items()
    ]
    listed = fill(_ROWS, rows=joined(*rows)) if rows else ""
    return fill(_TOKENS, tokens=listed, token=content.form_token, did=current.did, lives=joined(*lives), most=MAX_NAME)


def _erasure(erasure: Erasure | None) -> Html:
    """How far the deletion is that was asked for."""
    if erasure is None or erasure.state == "done":
        return Html()
    gone = f"{erasure.deleted:,} record{'' if erasure.deleted == 1 else 's'}" if erasure.records else ""
    return fill(
        _ERASURE,
        since=_day(erasure.requested_at),
        gone=f" {gone} of your repository are gone by now." if gone else "",
        reason=f" It waits: {erasure.reason}." if erasure.reason else "",
    )


def _note(name: str | None) -> Html:
    text = NOTES.get(name or "")
    return fill(_NOTE, text=text) if text else Html()


def _day(moment: datetime) -> Html:
    return fill(_TIME, at=instant(moment), text=f"{moment.day} {moment:%B %Y}")


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TITLE else f"{text[:_MAX_TITLE]}…"

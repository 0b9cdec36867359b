"""The recipes themselves: what to ask, in which order, to build the screens that a music app has.

A request is written as a method of ours with its parameters; what stands in braces is filled in with what is here, and
`$namespace`, `$service` and `$url` with what this server is.
"""

from typing import Final, NamedTuple


class Step(NamedTuple):
    """One thing to do: why, maybe a request that anybody can make, maybe code."""

    text: str
    request: str = ""
    code: str = ""


class Recipe(NamedTuple):
    """How one thing is built."""

    id: str
    title: str
    about: str
    steps: tuple[Step, ...]


RECIPES: Final = (
    Recipe(
        "home",
        "A home screen",
        "A few shelves of tracks, each ready to be shown and played: title, cover, counts and audio are in every one.",
        (
            Step("What people listen to now.", "feed.getFeed?feed=trending&limit=20"),
            Step("What is new.", "feed.getFeed?feed=latest&limit=20"),
            Step(
                "What was liked most, in a day, a week, a month, or ever.", "feed.getFeed?feed=top&window=all&limit=20"
            ),
            Step(
                "Play what can be played. Audio is a union: what you do not know, or what is not there, is not for you"
                " to play. A gated track says what opens its gate.",
                code="""\
const {feed} = await (await fetch(url)).json();
for (const {track, reason} of feed) {
  const playable = track.audio?.$type === "$namespace.feed.defs#audioStream";
  shelf.add(track.title, track.artist, track.image, playable ? track.audio.url : null);
}""",
            ),
            Step("For who is signed in there are also the feeds following and for-you; see “Who is asking”."),
        ),
    ),
    Recipe(
        "profile",
        "A profile page",
        "All that is known of an account, by its DID or its handle. Keep the DID: handles change hands.",
        (
            Step("The head of the page, with its counts.", "actor.getProfile?actor={actor}"),
            Step("Its tracks, newest first.", "feed.getActorTracks?actor={actor}&limit=20"),
            Step("Its lists, or only its albums.", "graph.getActorLists?actor={lister}&limit=20"),
            Step("What it likes, the last liked first.", "feed.getActorLikes?actor={fan}&limit=20"),
            Step("And what it did lately, as one stream.", "feed.getActivity?actor={actor}&limit=20"),
            Step(
                "An account that is away is an error with a name: AccountDeactivated may come back, NotFound was never"
                " here or is gone.",
            ),
        ),
    ),
    Recipe(
        "album",
        "An album page, or a playlist",
        "Both are lists. An album is a list whose listType is album; the order of the items is the author's.",
        (
            Step("An account's albums.", "graph.getActorLists?actor={lister}&listType=album"),
            Step(
                "The list with its items in order. Whatever cannot be shown keeps its place as a stub, so positions"
                " never shift.",
                "graph.getList?list={list}&limit=50",
            ),
            Step(
                "Show what you know, and a gap for the rest.",
                code="""\
for (const {position, track} of items)
  if (track.$type === "$namespace.feed.defs#trackView") row(position + 1, track);
  else row(position + 1, {title: "Not available"});""",
            ),
            Step(
                "From a track to its album: the view of the track names the list, where there is one.",
                "feed.getTracks?uris={track}",
            ),
            Step("From a track to every list that holds it.", "graph.getListsContaining?subject={track}"),
        ),
    ),
    Recipe(
        "track",
        "A track page",
        "The track, who likes it, and what is said about it at which moment.",
        (
            Step("The track; up to 25 at once, in the order you ask.", "feed.getTracks?uris={track}"),
            Step("Comments along the waveform, by position.", "feed.getComments?uri={track}&sort=position&limit=100"),
            Step("Or as a conversation, newest first.", "feed.getComments?uri={track}&sort=newest"),
            Step("Who likes it: each account once, however often it said so.", "feed.getLikes?uri={track}&limit=50"),
        ),
    ),
    Recipe(
        "search",
        "A search box",
        "Exact matches come first, then beginnings, then what contains the words, then what is spelled almost so.",
        (
            Step("One box for everything, while people type.", "search.searchAll?q={word}"),
            Step("Names only, for mentions and features.", "actor.searchActorsTypeahead?q={word}"),
            Step("A page of results of one kind.", "feed.searchTracks?q={word}&limit=20"),
            Step(
                "Ask at most once per pause in typing, and drop answers that were overtaken.",
                code="""\
let asking;
input.oninput = () => {
  asking?.abort();
  asking = new AbortController();
  const q = encodeURIComponent(input.value);
  fetch(`/xrpc/$namespace.search.searchAll?q=$${q}`, {signal: asking.signal}).then(show, () => {});
};""",
            ),
        ),
    ),
    Recipe(
        "pages",
        "Page by page",
        "Every list is paged alike. Pages neither skip nor repeat what did not move, while others come and go.",
        (
            Step("The first page.", "feed.getFeed?feed=latest&limit=2"),
            Step(
                "Then the same with the cursor of the answer, until there is none. A short page is not the last one,"
                " and an empty one need not be: only the cursor tells.",
                code="""\
async function* all(url, field) {
  for (let cursor; ; ) {
    const page = await (await fetch(url + (cursor ? "&cursor=" + encodeURIComponent(cursor) : ""))).json();
    yield* page[field];
    if (!(cursor = page.cursor)) return;
  }
}""",
            ),
            Step(
                "A cursor of trending or top goes on in the ranking that it began in. Kept overnight, it may be an"
                " ExpiredCursor: begin anew."
            ),
        ),
    ),
    Recipe(
        "viewer",
        "Who is asking",
        "Signed in, people see what they themselves like and follow. No key and no session of ours is needed: their own"
        " PDS vouches for them.",
        (
            Step(
                "Ask the user's PDS, and name this service in a header. The PDS signs and passes the request on; the"
                " answer has viewer.like on each track they like.",
                code="""\
curl -H "authorization: Bearer $$TOKEN" -H "atproto-proxy: $service#plyr_appview" \\
    "$$PDS/xrpc/$namespace.feed.getFeed?feed=for-you" """.rstrip(),
            ),
            Step(
                "Write to the PDS too: it is their record. The answer has the rev of the commit.",
                code="""\
curl "$$PDS/xrpc/com.atproto.repo.createRecord" -H "authorization: Bearer $$TOKEN" \\
    -H "content-type: application/json" -d '{"repo": "'$$DID'", "collection": "$namespace.like",
        "record": {"$type": "$namespace.like", "createdAt": "2026-11-22T12:00:00Z",
                   "subject": {"uri": "at://…", "cid": "bafy…"}}}'""",
            ),
            Step(
                "Read your own write: with atproto-min-rev the answer waits, a few seconds at most, until this index"
                " has come that far. atproto-repo-rev in the answer says how far it is.",
                code="""\
curl -H "authorization: Bearer $$TOKEN" -H "atproto-proxy: $service#plyr_appview" \\
    -H "atproto-min-rev: $$REV" "$$PDS/xrpc/$namespace.feed.getTracks?uris=at://…" """.rstrip(),
            ),
        ),
    ),
    Recipe(
        "cache",
        "Asking often, and cheaply",
        "An answer to nobody in particular is the same for everybody for a moment, and says so.",
        (
            Step("Every answer has an ETag, made from the body.", "feed.getFeed?feed=latest&limit=20"),
            Step(
                "Give it back, and what has not changed is a 304 without a body. Browsers do this by themselves.",
                code="""\
curl -i -H 'if-none-match: W/"…"' "$url/xrpc/$namespace.feed.getFeed?feed=latest&limit=20" """.rstrip(),
            ),
            Step(
                "Ask for many at once rather than for one many times: 25 tracks, profiles or lists in a request.",
                "feed.getTracks?uris={track}",
            ),
            Step("After a 503 or a 429 wait as long as Retry-After says, and a little longer each time."),
        ),
    ),
    Recipe(
        "missing",
        "Why is my track missing?",
        "Ask. The answer is in plain sentences, and so are the reasons: never seen, rejected by which rule, hidden, or"
        " its repository is not up to date here.",
        (
            Step("About one record.", "server.explain?uri={track}"),
            Step("About a whole account.", "server.explain?uri={actor}"),
            Step("How fresh the index is altogether.", "server.getStats"),
            Step(
                "And what is stored, as it was written.",
                "com.atproto.repo.getRecord?repo={actor}&collection={collection}&rkey={rkey}",
            ),
        ),
    ),
    Recipe(
        "labels",
        "Labels",
        "Views carry labels: what somebody, the author or a labeler, says about a record.",
        (
            Step("They come with the view, absent when there are none.", "feed.getTracks?uris={track}"),
            Step(
                "Who said it is src: the author's own DID for what authors say of themselves. Blur or leave out by val,"
                " as your users want it; pass over values you do not know. A label with neg takes an earlier one back.",
                code="""\
const ofAuthor = track.labels?.filter(label => label.src === track.author.did) ?? [];
const explicit = track.labels?.some(label => ["sexual", "explicit"].includes(label.val));""",
            ),
        ),
    ),
    Recipe(
        "types",
        "Types in your own language",
        "The lexicons are the contract. From them, or from the OpenAPI document, others generate clients; the tests of"
        " this server do so too, and run them.",
        (
            Step(
                "TypeScript, from the lexicons in a folder.",
                code="""\
npx @atproto/lex build --lexicons ./lexicons --out ./src/lexicons

import { xrpc } from '@atproto/lex'
import * as fm from './lexicons/fm.js'
const { body } = await xrpc('$url', fm.plyr.feed.getFeed, { params: { feed: 'latest' } })""",
            ),
            Step(
                "Python.",
                code="""\
atproto gen --lexicon-dir ./lexicons custom --output-dir ./plyr --package plyr

from plyr.client import PlyrClient
page = PlyrClient("$url/xrpc").fm.plyr.feed.get_feed({"feed": "latest"})""",
            ),
            Step("Anything else, from /api/openapi.json."),
        ),
    ),
    Recipe(
        "feed",
        "A feed of your own",
        "Anybody can run a feed: a service that answers with addresses of tracks, which this server fills in.",
        (
            Step("Feeds to look at.", "feed.getSuggestedFeeds"),
            Step(
                "Yours is a record $namespace.feed.generator that names your service's DID, whose document names its"
                " address as #plyr_fg. The service answers $namespace.feed.getFeedSkeleton; this one does so too.",
                "feed.getFeedSkeleton?feed={skeleton}&limit=5",
            ),
            Step("Then everybody asks for it by the address of the record: getFeed?feed=at://…"),
        ),
    ),
)

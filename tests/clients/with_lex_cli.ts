// A client with types by `lex gen-api` of @atproto/lex-cli. Arguments: the server, a handle, a track, a list.
import assert from 'node:assert/strict'
import { AtpBaseClient, FmPlyrActorGetProfile, FmPlyrFeedDefs, FmPlyrTrack } from './api/index.js'
import type { OutputSchema as Feed } from './api/types/fm/plyr/feed/getFeed.js'

const [service, actor, track, list] = process.argv.slice(2) as [string, string, string, string]
const { plyr } = new AtpBaseClient({ service }).fm

const { data: found } = await plyr.feed.getTracks({ uris: [track] })
const song: FmPlyrFeedDefs.TrackView | undefined = found.tracks[0]
assert.equal(song?.uri, track)
assert.ok(FmPlyrTrack.isRecord(song.record) && FmPlyrTrack.validateRecord(song.record).success)

const { data: profile } = await plyr.actor.getProfile({ actor })
assert.equal(profile.handle, actor)

const seen: string[] = []
let cursor: string | undefined
do {
  const page: Feed = (await plyr.feed.getFeed({ feed: 'latest', limit: 1, cursor })).data
  seen.push(...page.feed.map((entry) => entry.track.uri))
  cursor = page.cursor
} while (cursor !== undefined)
assert.ok(seen.includes(track) && new Set(seen).size === seen.length && seen.length > 1)

const { data: lists } = await plyr.graph.getList({ list })
assert.ok(lists.items.some((item) => FmPlyrFeedDefs.isTrackView(item.track)))

await assert.rejects(plyr.actor.getProfile({ actor: 'nobody.test' }), FmPlyrActorGetProfile.NotFoundError)

console.log(JSON.stringify({ seen: seen.length, profile: profile.did }))

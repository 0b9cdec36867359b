// A client with types by `lex build` of @atproto/lex. Arguments: the server, a handle, a track, a list.
import assert from 'node:assert/strict'
import { Client, xrpc, xrpcSafe } from '@atproto/lex'
import type { AtUriString, HandleString } from '@atproto/lex'
import * as fm from './lex/fm.js'

const [service, actor, track, list] = process.argv.slice(2) as [string, HandleString, AtUriString, AtUriString]
const { actor: actors, feed, graph } = fm.plyr

const { body: found } = await xrpc(service, feed.getTracks, { params: { uris: [track] } })
const song: fm.plyr.feed.defs.TrackView | undefined = found.tracks[0]
assert.equal(song?.uri, track)
assert.ok(fm.plyr.track.$matches(song.record))
assert.ok(song.audio && feed.defs.audioStream.$isTypeOf(song.audio) && song.audio.url.startsWith('https://'))

const client = new Client(service)
const profile = await client.call(actors.getProfile, { actor })
assert.equal(profile.handle, actor)
assert.ok(profile.tracksCount !== undefined && profile.tracksCount > 0)

const seen: string[] = []
for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
  const page = await client.call(feed.getFeed, { feed: 'latest', limit: 1, cursor })
  seen.push(...page.feed.map((entry) => entry.track.uri))
  cursor = page.cursor
}
assert.ok(seen.includes(track) && new Set(seen).size === seen.length && seen.length > 1)

const { items } = await client.call(graph.getList, { list })
const shown = items.map((item) => item.track).filter((one) => feed.defs.trackView.$isTypeOf(one))
assert.ok(shown.length > 0)

const refused = await xrpcSafe(service, actors.getProfile, { params: { actor: 'nobody.test' } })
assert.ok(!refused.success)
assert.equal(refused.error, 'NotFound')
assert.ok(refused.matchesSchemaErrors())

console.log(JSON.stringify({ seen: seen.length, profile: profile.did }))

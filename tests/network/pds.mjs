// One reference PDS: SQLite and blobs in a folder of its own, which outlives a stop.
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { PDS } from '@atproto/pds'
import { reservePort, route } from './loopback.mjs'

const hex = (bytes) => crypto.randomBytes(bytes).toString('hex')

// Reaching localhost over http, here as an OAuth issuer and there in DID documents, takes these two.
const LOOPBACK_IS_FINE = { devMode: true, disableSsrfProtection: true, hostname: 'localhost' }

// Identities that change within one test are seen in that test; a PDS's own defaults are an hour and a day.
const SHORT_CACHES = { didCacheStaleTTL: 1_000, didCacheMaxTTL: 5_000 }

const settings = ({ index, port, directory, plcUrl, options }) => ({
  ...LOOPBACK_IS_FINE,
  ...SHORT_CACHES,
  port,
  // Left alone, every PDS on localhost is did:web:localhost, and no token or migration between two can work.
  serviceDid: `did:web:localhost%3A${port}`,
  serviceName: `pds${index + 1}`,
  // A PDS looks for the handles of its own domains among its own accounts only: no two may share one.
  serviceHandleDomains: [`.pds${index + 1}.test`],
  didPlcUrl: plcUrl,
  dataDirectory: directory,
  blobstoreDiskLocation: path.join(directory, 'blobs'),
  blobUploadLimit: options.blobLimit,
  repoBackfillLimitMs: options.backfillLimitMs,
  maxSubscriptionBuffer: options.maxSubscriptionBuffer,
  trustedOAuthClients: options.trustedClients,
  inviteRequired: false,
  acceptingImports: true,
  adminPassword: options.adminPassword,
  jwtSecret: hex(16),
  dpopSecret: hex(32),
  plcRotationKeyK256PrivateKeyHex: hex(32),
})

/** A PDS that can be stopped and started again, on the same port, with the same keys and data. */
export class Pds {
  #server
  #settings
  #crawlers
  #releasePort

  /** Reserves the port `port` (0: any) and makes the data folder; nothing listens before `start`. */
  static async create({ index, port, plcUrl, dataDirectory, crawlers, options }) {
    const reserved = await reservePort(port)
    const directory = path.join(dataDirectory, `pds${index + 1}`)
    fs.mkdirSync(path.join(directory, 'blobs'), { recursive: true })
    const pds = new Pds()
    pds.#settings = settings({ index, port: reserved.port, directory, plcUrl, options })
    pds.#crawlers = crawlers
    pds.#releasePort = reserved.release
    return pds
  }

  get port() {
    return this.#settings.port
  }

  get running() {
    return this.#server !== undefined
  }

  /** What the harness and its users need to know of this PDS. */
  get description() {
    const { port, serviceDid, serviceHandleDomains } = this.#settings
    return { url: `http://localhost:${port}`, did: serviceDid, handleDomain: serviceHandleDomains[0] }
  }

  async start() {
    if (this.#server) return
    const server = await PDS.fromEnv(this.#settings)
    server.ctx.crawlers.crawlers = this.#crawlers
    // Proxied requests go through this agent and not through fetch.
    server.ctx.proxyAgent = server.ctx.proxyAgent.compose(
      (dispatch) => (request, handler) =>
        dispatch({ ...request, origin: new URL(route(request.origin)).origin }, handler),
    )
    await this.#releasePort?.()
    this.#releasePort = undefined
    await server.start()
    this.#server = server
  }

  async stop() {
    const server = this.#server
    this.#server = undefined
    await server?.destroy()
    await this.#releasePort?.()
  }

  /** The DID of the account with this handle, if it is one of ours and we are running. */
  async accountDid(handle) {
    return (await this.#server?.ctx.accountManager.getAccount(handle))?.did
  }

  /** The last sequence number of its event stream, 0 before the first. */
  async lastSeq() {
    return (await this.#server.ctx.sequencer.curr()) ?? 0
  }

  /** The tokens that it would have mailed to an account, by purpose. There is no mail server. */
  async mailedTokens(did) {
    const { db } = this.#server.ctx.accountManager.db
    const rows = await db.selectFrom('email_token').select(['purpose', 'token']).where('did', '=', did).execute()
    return Object.fromEntries(rows.map(({ purpose, token }) => [purpose, token]))
  }

  /** Lets it look for each lexicon anew, though it found or missed it within the day. */
  async forgetLexicons() {
    await this.#server?.ctx.accountManager.db.db.deleteFrom('lexicon').execute()
  }

  /** Lets the next commit ask the crawlers for a crawl, though one has asked within 20 minutes. */
  forgetCrawlRequests() {
    if (this.#server) this.#server.ctx.crawlers.lastNotified = -Infinity
  }
}

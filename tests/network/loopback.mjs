// Keeps the servers of this process on the machine: what they listen on is bound to 127.0.0.1, and what they
// ask of DNS or of an https host is answered from the tables below or refused.
//
// Import this before any server: they take hold of these functions as they load.
import dns from 'node:dns'
import { once } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import net from 'node:net'

const LOOPBACK = '127.0.0.1'

// ---- listening -----------------------------------------------------------------------------------

const systemListen = net.Server.prototype.listen

// Both servers call listen(port) and no more, which binds every interface.
net.Server.prototype.listen = function listen(first, ...rest) {
  if (typeof first === 'number' && typeof rest[0] !== 'string') rest.unshift(LOOPBACK)
  else if (first?.port != null && !first.host) first = { ...first, host: LOOPBACK }
  return systemListen.call(this, first, ...rest)
}

/** Listens on a port of the loopback address, 0 for any that is free; resolves to the port. */
export const listening = async (server, port) => {
  server.listen(port)
  await once(server, 'listening')
  return server.address().port
}

// A PDS writes its port into every DID document, so it has to know it before it listens. Systems take the
// ports of outgoing connections from above 32768: below that, a port stays ours while its server is stopped.
const LOWEST_PORT = 15_000
const HIGHEST_PORT = 32_000

/** Holds a port, 0 for any that is free, until `release` is awaited. */
export const reservePort = async (wanted) => {
  for (;;) {
    const holder = net.createServer()
    const candidate = wanted || LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT))
    try {
      const port = await listening(holder, candidate)
      return { port, release: () => new Promise((resolve) => holder.close(resolve)) }
    } catch (error) {
      if (wanted || error.code !== 'EADDRINUSE') throw error
    }
  }
}

// ---- names ---------------------------------------------------------------------------------------

/** The TXT records of this network: those that were set, and `_atproto.<handle>` of every account it hosts. */
class Zone {
  #records = new Map()

  /** Replaced by the network once it has PDSes: a handle to the DID of the account that bears it. */
  accounts = async () => undefined

  set(name, text) {
    if (text) this.#records.set(name.toLowerCase(), text)
    else this.#records.delete(name.toLowerCase())
  }

  async txt(name) {
    const wanted = name.toLowerCase().replace(/\.$/, '')
    if (this.#records.has(wanted)) return this.#records.get(wanted)
    if (!wanted.startsWith('_atproto.')) return undefined
    const did = await this.accounts(wanted.slice('_atproto.'.length))
    return did && `did=${did}`
  }
}

export const zone = new Zone()

const resolveTxt = async (name) => {
  const text = await zone.txt(name)
  if (text) return [[text]]
  throw Object.assign(new Error(`queryTxt ENOTFOUND ${name}`), { code: 'ENOTFOUND' })
}
dns.promises.resolveTxt = resolveTxt
dns.promises.Resolver.prototype.resolveTxt = resolveTxt
syncBuiltinESMExports()

// ---- outgoing requests ---------------------------------------------------------------------------

/** https host names and the loopback URLs that stand for them. */
export const hosts = new Map()

/** Where a request to `url` goes in truth; an address off this machine is an error. */
export const route = (url) => {
  const { protocol, host, pathname, search, href } = new URL(url)
  const mapped = protocol === 'https:' && hosts.has(host)
  const to = mapped ? new URL(pathname + search, hosts.get(host)) : new URL(href)
  if (to.hostname === LOOPBACK) to.hostname = 'localhost' // a PDS fetches from names, never from addresses
  if (to.hostname === 'localhost') return to.href
  throw new TypeError(`${host} is not on this machine and no loopback URL stands for it`)
}

const systemFetch = globalThis.fetch

globalThis.fetch = async (input, init) => {
  if (!(input instanceof Request)) return systemFetch(route(input), init)
  const to = route(input.url)
  return systemFetch(to === input.url ? input : new Request(to, input), init)
}

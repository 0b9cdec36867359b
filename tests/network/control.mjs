// What a test does to the network from outside, over HTTP. GET / lists it.
import http from 'node:http'
import { hosts, listening, zone } from './loopback.mjs'

const HELP = `PUT  /txt/<name>              body: the text of a TXT record; empty removes it
PUT  /handles/<handle>        body: the DID that _atproto.<handle> names; empty removes it
PUT  /hosts/<host>            body: the loopback URL that stands for https://<host>; empty removes it
PUT  /crawlers                body: URLs, one a line, that the PDSes ask to crawl them
GET  /.well-known/atproto-did the DID of the handle in the Host header
GET  /pds/<n>                 whether PDS n (1, 2, ...) runs, and its last sequence number
POST /pds/<n>/start|stop|restart
GET  /pds/<n>/mail/<did>      tokens that PDS n would have mailed, by purpose
GET  /state                   addresses and process id
`

class NotFound extends Error {}

const bodyOf = async (request) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString().trim()
}

/** Serves the controls on a port of the loopback address, 0 for any. */
export const startControl = async (port, { pdses, crawlers, state }) => {
  const numbered = (n) => {
    const pds = pdses[Number(n) - 1]
    if (!pds) throw new NotFound(`There is no PDS ${n}.`)
    return pds
  }

  const handlers = {
    'GET ': () => HELP,
    'GET state': () => state,
    'GET .well-known': async ({ request }) => {
      const handle = (request.headers.host ?? '').split(':')[0]
      const text = await zone.txt(`_atproto.${handle}`)
      if (!text) throw new NotFound(`No account here has the handle ${handle}.`)
      return text.replace(/^did=/, '')
    },
    'PUT txt': async ({ args: [name], body }) => {
      zone.set(name, body)
      if (name.startsWith('_lexicon.')) await Promise.all(pdses.map((pds) => pds.forgetLexicons()))
    },
    'PUT handles': ({ args: [handle], body }) => zone.set(`_atproto.${handle}`, body && `did=${body}`),
    'PUT hosts': ({ args: [host], body }) => {
      if (body) hosts.set(host, body)
      else hosts.delete(host)
    },
    'PUT crawlers': ({ body }) => {
      crawlers.splice(0, Infinity, ...body.split('\n').filter(Boolean))
      for (const pds of pdses) pds.forgetCrawlRequests()
    },
    'GET pds': async ({ args: [n, what, did] }) => {
      const pds = numbered(n)
      if (what === 'mail') return pds.mailedTokens(did)
      return { running: pds.running, seq: pds.running ? await pds.lastSeq() : null }
    },
    'POST pds': async ({ args: [n, verb] }) => {
      const pds = numbered(n)
      if (!['start', 'stop', 'restart'].includes(verb)) throw new NotFound('A PDS can start, stop and restart.')
      if (verb === 'stop' || verb === 'restart') await pds.stop()
      if (verb === 'start' || verb === 'restart') await pds.start()
    },
  }

  const respond = async (request) => {
    const [, what, ...args] = decodeURIComponent(request.url.split('?')[0]).split('/')
    const handler = handlers[`${request.method} ${what}`]
    if (!handler) throw new NotFound(`${request.method} ${request.url} is not one of the controls; GET / lists them.`)
    return handler({ request, args, body: await bodyOf(request) })
  }

  const server = http.createServer(async (request, response) => {
    try {
      const result = (await respond(request)) ?? {}
      response.setHeader('content-type', typeof result === 'string' ? 'text/plain' : 'application/json')
      response.end(typeof result === 'string' ? result : JSON.stringify(result))
    } catch (error) {
      response.statusCode = error instanceof NotFound ? 404 : 500
      response.end(error instanceof NotFound ? error.message : error.stack)
    }
  })
  const url = `http://localhost:${await listening(server, port)}`
  const stop = () => {
    server.close()
    server.closeAllConnections()
  }
  return { url, stop }
}

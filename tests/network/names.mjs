// The zone of this network over UDP, for resolvers outside this process: TXT records and nothing else.
import dgram from 'node:dgram'
import { once } from 'node:events'
import { zone } from './loopback.mjs'

const TXT = 16
const IN = 1
const TTL_SECONDS = 1
const HEADER_BYTES = 12
const ANSWERED = 0x8580 // response, authoritative, recursion desired and available
const NO_SUCH_NAME = 0x8583
const NAME_OF_THE_QUESTION = 0xc00c // a pointer to where the question's name stands

/** The name and type that a query asks for, and where its question ends. */
const question = (query) => {
  const labels = []
  let at = HEADER_BYTES
  while (query.readUInt8(at) !== 0) {
    const length = query.readUInt8(at)
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), type: query.readUInt16BE(at + 1), end: at + 5 }
}

/** A TXT record: the text in strings of up to 255 bytes. */
const record = (text) => {
  const bytes = Buffer.from(text)
  const strings = []
  for (let at = 0; at < bytes.length; at += 255) {
    const part = bytes.subarray(at, at + 255)
    strings.push(Buffer.from([part.length]), part)
  }
  const data = Buffer.concat(strings)
  const head = Buffer.alloc(12)
  head.writeUInt16BE(NAME_OF_THE_QUESTION, 0)
  head.writeUInt16BE(TXT, 2)
  head.writeUInt16BE(IN, 4)
  head.writeUInt32BE(TTL_SECONDS, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

const answer = async (query) => {
  const { name, type, end } = question(query)
  const text = type === TXT ? await zone.txt(name) : undefined
  const header = Buffer.alloc(HEADER_BYTES)
  query.copy(header, 0, 0, 2)
  header.writeUInt16BE(text ? ANSWERED : NO_SUCH_NAME, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(text ? 1 : 0, 6)
  return Buffer.concat([header, query.subarray(HEADER_BYTES, end), text ? record(text) : Buffer.alloc(0)])
}

/** Serves the zone on a UDP port of the loopback address, 0 for any. */
export const startNameServer = async (port) => {
  const socket = dgram.createSocket('udp4')
  socket.on('message', async (query, { port: from, address }) => {
    try {
      socket.send(await answer(query), from, address)
    } catch (error) {
      if (!(error instanceof RangeError)) console.error(error) // a query cut short gets no answer, and no mention
    }
  })
  socket.bind(port, '127.0.0.1')
  await once(socket, 'listening')
  return { address: `127.0.0.1:${socket.address().port}`, stop: () => socket.close() }
}

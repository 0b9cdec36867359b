// A PLC directory and PDSes, as their authors publish them, together in one process on the loopback address.
//
//   node network.mjs '{"pdsPorts": [2583, 2584]}'        every option and its default: OPTIONS
//
// Prints one line, READY and the network's addresses as JSON; everything else goes to stderr. Runs until its
// standard input ends or it gets SIGTERM, then closes every port, removes what it stored and exits with 0.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { hosts, zone } from './loopback.mjs' // first: the servers must find it in place
import { startControl } from './control.mjs'
import { startNameServer } from './names.mjs'
import { startPlc } from './plc.mjs'

const OPTIONS = {
  plcPort: 0, // 0: any that is free, here and below
  pdsPorts: [0, 0], // one PDS each; for none, the directory is there in half a second
  dnsPort: 0, // UDP
  controlPort: 0,
  hosts: {}, // https host name: the loopback URL that stands for it
  crawlers: [], // URLs that each PDS sends com.atproto.sync.requestCrawl to
  trustedClients: [], // OAuth client ids that need no consent page
  legacyDidDocuments: false,
  blobLimit: 200 * 1024 * 1024, // bytes
  backfillLimitMs: 24 * 3600 * 1000, // a cursor older than this is outdated
  maxSubscriptionBuffer: 500, // frames; a consumer that is further behind is too slow
  adminPassword: 'admin',
}
const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 10_000
const ROOM_IN_MEMORY = 1 << 30 // bytes

const options = { ...OPTIONS, ...JSON.parse(process.argv[2] ?? '{}') }
globalThis.console = new console.Console(process.stderr) // READY is all that stdout may carry

/** Makes the folder for all data: in memory where there is room, which a PDS's many small commits like. */
const temporaryDirectory = () => {
  const shared = '/dev/shm'
  const room = fs.existsSync(shared) ? fs.statfsSync(shared) : { bavail: 0, bsize: 0 }
  const parent = room.bavail * room.bsize > ROOM_IN_MEMORY ? shared : os.tmpdir()
  const directory = fs.mkdtempSync(path.join(parent, 'plyr-network-'))
  process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

const started = [] // what stop() has to stop
let stopping = false

const stop = async () => {
  if (stopping) return
  stopping = true
  setTimeout(() => {
    console.error(`The test network did not stop within ${STOP_TIMEOUT_MS / 1000} s.`)
    process.exit(1)
  }, STOP_TIMEOUT_MS).unref()
  await Promise.all(started.map((service) => service.stop()))
  process.exit(0)
}

const start = async () => {
  const dataDirectory = temporaryDirectory()
  for (const [host, url] of Object.entries(options.hosts)) hosts.set(host, url)

  const plc = await startPlc(options)
  started.push(plc)

  const crawlers = [...options.crawlers] // shared by all PDSes, and changed by the control
  const pdses = []
  const { Pds } = options.pdsPorts.length > 0 ? await import('./pds.mjs') : {} // it takes a second to load
  for (const [index, port] of options.pdsPorts.entries()) {
    const pds = await Pds.create({ index, port, plcUrl: plc.url, dataDirectory, crawlers, options })
    started.push(pds)
    pdses.push(pds)
  }
  await Promise.all(pdses.map((pds) => pds.start()))
  zone.accounts = async (handle) => {
    for (const pds of pdses) {
      const did = await pds.accountDid(handle)
      if (did) return did
    }
    return undefined
  }

  const names = await startNameServer(options.dnsPort)
  started.push(names)
  const state = {
    pid: process.pid,
    plc: plc.url,
    pds: pdses.map((pds) => pds.description),
    dns: names.address,
    adminPassword: options.adminPassword,
    dataDirectory,
  }
  const control = await startControl(options.controlPort, { pdses, crawlers, state })
  started.push(control)
  return Object.assign(state, { control: control.url })
}

const tooLate = setTimeout(() => {
  console.error(`The test network did not start within ${START_TIMEOUT_MS / 1000} s.`)
  process.exit(1)
}, START_TIMEOUT_MS)
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
process.stdin.on('end', stop).resume() // the parent ended, whichever way

const state = await start().catch((error) => {
  console.error(error.code === 'EADDRINUSE' ? `Port ${error.port} of this machine is in use.` : error)
  process.exit(1)
})
clearTimeout(tooLate)
process.stdout.write(`READY ${JSON.stringify(state)}\n`)

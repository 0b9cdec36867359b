// The reference PLC directory, its log in memory.
import http from 'node:http'
import { Database, PlcServer } from '@did-plc/server'
import { listening } from './loopback.mjs'

const CONTEXT = [
  'https://www.w3.org/ns/did/v1',
  'https://w3id.org/security/multikey/v1',
  'https://w3id.org/security/suites/secp256k1-2019/v1',
]

/** The DID document that plc.directory makes of an operation. */
const didDocument = (did, operation) => ({
  '@context': CONTEXT,
  id: did,
  alsoKnownAs: operation.alsoKnownAs,
  verificationMethod: Object.entries(operation.verificationMethods).map(([name, key]) => ({
    id: `${did}#${name}`,
    type: 'Multikey',
    controller: did,
    publicKeyMultibase: key.replace(/^did:key:/, ''),
  })),
  service: Object.entries(operation.services).map(([name, { type, endpoint }]) => ({
    id: `#${name}`,
    type,
    serviceEndpoint: endpoint,
  })),
})

/**
 * Starts the directory. The published server still writes the documents of 2022 (relative ids, the key type
 * EcdsaSecp256k1VerificationKey2019, keys with no multicodec prefix); unless `legacyDidDocuments`, GET /:did is
 * answered here as plc.directory answers it, and everything else by the server.
 */
export const startPlc = async ({ plcPort, legacyDidDocuments }) => {
  const { app, ctx } = PlcServer.create({ db: Database.mock() })

  const currentDocument = async ({ method, url }) => {
    const did = /^\/(did:plc:[a-z2-7]{24})$/.exec(url.replaceAll('%3A', ':'))?.[1]
    if (legacyDidDocuments || method !== 'GET' || !did) return undefined
    const operation = await ctx.db.lastOpForDid(did)
    return operation?.type === 'plc_operation' ? didDocument(did, operation) : undefined
  }

  const server = http.createServer(async (request, response) => {
    const document = await currentDocument(request)
    if (!document) return app(request, response)
    response.setHeader('content-type', 'application/did+ld+json')
    response.setHeader('access-control-allow-origin', '*')
    return response.end(JSON.stringify(document))
  })
  const port = await listening(server, plcPort)
  const stop = async () => {
    server.close()
    server.closeAllConnections()
    await ctx.db.close()
  }
  return { url: `http://localhost:${port}`, stop }
}

/**
 * The delegation part of an FTS3 server's REST interface: whoami, the request for a certificate, and the credential.
 * A whole FTS3 server needs packages that Debian does not have. This one answers and checks as its controller does
 * (cern-fts/fts-rest-flask, src/fts3rest/fts3rest/controllers/delegation.py), and verifies the client's chain.
 */
import { createHash, type KeyObject, X509Certificate } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey, type KeyKind } from '../../ca/key.ts'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import { formatProxyFile, keyBelongsTo } from '../../ca/proxy-file.ts'
import type { GridSite } from './grid-site.ts'
import {
  type Answer,
  bodyOf,
  certificatesOf,
  type ProxyClient,
  type ProxyClientServer,
  startProxyClientServer,
} from './proxy-clients.ts'

export interface FtsServer extends ProxyClientServer {
  /** Of the person of the last request. */
  dn(): string | undefined
  /** The proxy file that its transfers would use; undefined until one was delegated. */
  delegated(): string | undefined
}

interface Delegation {
  readonly id: string
  key: KeyObject | undefined
  proxy: { readonly text: string; readonly ends: Date } | undefined
}

const json = (value: unknown): Answer => ({ status: 200, body: JSON.stringify(value) })
const refusal = (status: number, message: string): Answer => ({
  status,
  body: JSON.stringify({ status: String(status), message }),
})

/** Starts it for clients of the site's trust directory. */
export async function startFtsServer(site: GridSite): Promise<FtsServer> {
  const delegations = new Map<string, Delegation>()
  let dn: string | undefined
  const server = await startProxyClientServer(site, (request, client) => {
    dn = client.dn
    const id = createHash('sha1').update(dn).digest('hex').slice(0, 16)
    const delegation = delegations.get(id) ?? { id, key: undefined, proxy: undefined }
    delegations.set(id, delegation)
    return route(request, delegation, client)
  })
  return {
    ...server,
    dn: () => dn,
    delegated: () => [...delegations.values()].at(-1)?.proxy?.text,
  }
}

async function route(
  request: IncomingMessage,
  delegation: Delegation,
  { dn, proxy }: ProxyClient,
): Promise<Answer> {
  const { id } = delegation
  // The client writes two slashes at the beginning.
  const path = `${request.method} ${(request.url ?? '').replace(/^\/+/, '/')}`
  if (path === 'GET /') return json({ api: { major: 3, minor: 14, patch: 2 } })
  if (path === 'GET /whoami')
    return json({ delegation_id: id, user_dn: dn, dn: [dn], vos: [], vos_id: [], base_id: '' })
  if (path === `GET /delegation/${id}`) {
    const ends = delegation.proxy?.ends.toISOString().slice(0, 19)
    return json(ends === undefined ? null : { termination_time: ends, voms_attrs: [] })
  }
  if (path === `GET /delegation/${id}/request`) {
    delegation.key ??= await generatePrivateKey(kindFor(proxy))
    return {
      status: 200,
      body: await createCsr(parseSlashDn('/O=Dummy'), createSigner(delegation.key)),
    }
  }
  if (path === `PUT /delegation/${id}/credential`) return keep(delegation, await bodyOf(request))
  return refusal(404, `${path} is not here`)
}

/** FTS3 makes a key of as many bits as the client's. */
function kindFor({ der }: ProxyClient['proxy']): KeyKind {
  const { modulusLength } = new X509Certificate(der).publicKey.asymmetricKeyDetails ?? {}
  return modulusLength === 4096 ? 'rsa-4096' : modulusLength === 3072 ? 'rsa-3072' : 'rsa-2048'
}

/** Checks what FTS3 checks, in its order, and puts the key second. */
function keep(delegation: Delegation, text: string): Answer {
  const [proxy, signer, ...above] = certificatesOf(text)
  const { key } = delegation
  if (key === undefined) return refusal(400, 'No credential cache found')
  if (proxy === undefined || signer === undefined) return refusal(400, 'Malformed proxy')
  if (!keyBelongsTo(key, proxy)) return refusal(400, 'The proxy does not match the private key')
  const issuer = new X509Certificate(signer.der)
  if (!new X509Certificate(proxy.der).verify(issuer.publicKey))
    return refusal(400, 'Failed to verify the proxy')
  if (formatSlashDn(proxy.subject.slice(0, -1)) !== formatSlashDn(proxy.issuer))
    return refusal(400, 'The subject and the issuer of the proxy do not match')
  const chain = [signer, ...above]
  const ends = Math.min(...[proxy, ...chain].map(({ validity }) => validity.notAfter.getTime()))
  delegation.proxy = {
    text: formatProxyFile(
      proxy.der,
      key,
      chain.map(({ der }) => der),
    ),
    ends: new Date(ends),
  }
  return { status: 201, body: '' }
}

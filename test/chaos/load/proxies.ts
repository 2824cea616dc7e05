/** Clients with access tokens: proxies for CSRs, with keys of the service, over WaTTS; and tokens that are no good. */
import { generateKeyPairSync } from 'node:crypto'
import type { MintRequest } from '../../../demo/identity-provider/mint.ts'
import { AUDIENCE } from '../../support/service.ts'
import type { Installation } from '../evidence.ts'
import type { Received } from '../http.ts'
import { type LoadContext, noteGrant, repeat, sendTo } from './client.ts'

const LIFETIME_SECONDS = 3600
const DAY_SECONDS = 86_400
/** What a service allows where nothing is asked for: the default of plugin x509-proxy. */
const USUAL_LIFETIME_SECONDS = 96 * 3600

/** A token that both installations accept. */
export const goodToken = ({ system }: Pick<LoadContext, 'system'>, sub: string): string =>
  system.watched.provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })

/** Of a JSON answer of the native API. */
export interface Issued {
  readonly id: string
  readonly pem: string
  readonly end_entity_serial: string
}

/** Asks for a proxy for the CSR, and notes it. */
export async function askForProxy(
  context: LoadContext,
  installation: Installation,
  sub: string,
): Promise<{ readonly answer: Received; readonly issued: Issued | undefined }> {
  const begunAt = Date.now()
  const answer = await sendTo(context, installation, {
    path: `/v1/proxies?lifetime_seconds=${LIFETIME_SECONDS}`,
    method: 'POST',
    token: goodToken(context, sub),
    headers: { 'content-type': 'application/pkcs10', accept: 'application/json' },
    body: context.csr.pem,
  })
  if (answer.status !== 200) return { answer, issued: undefined }
  const issued = JSON.parse(answer.body) as Issued
  const { privateKey } = context.csr
  const expected = { installation, way: 'CSR', sub, lifetimeSeconds: LIFETIME_SECONDS, privateKey }
  noteGrant(context.evidence, expected, { begunAt, id: issued.id, pem: issued.pem })
  return { answer, issued }
}

/** Most requests of one identity, some of a new one. */
export async function csrClient(
  context: LoadContext,
  installation: Installation,
  number: number,
): Promise<void> {
  await repeat(context, 300, async (turn) => {
    const sub = turn % 8 === 7 ? `new-${number}-${turn}` : `csr-${number}`
    return (await askForProxy(context, installation, sub)).answer
  })
}

/** The service makes the key. */
export async function serviceKeyClient(
  context: LoadContext,
  installation: Installation,
): Promise<void> {
  const sub = 'service-key'
  await repeat(context, 600, async () => {
    const begunAt = Date.now()
    const answer = await sendTo(context, installation, {
      path: '/v1/proxies',
      method: 'POST',
      token: goodToken(context, sub),
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ key_type: 'ec-p256', lifetime_seconds: LIFETIME_SECONDS }),
    })
    if (answer.status !== 200) return answer
    const { id, pem } = JSON.parse(answer.body) as Issued
    const way = 'key of the service'
    const expected = { installation, way, sub, lifetimeSeconds: LIFETIME_SECONDS }
    noteGrant(context.evidence, expected, { begunAt, id, pem })
    return answer
  })
}

interface WattsCredential {
  readonly credential: {
    readonly id: string
    readonly entries: readonly { readonly name: string; readonly value: string }[]
  }
}

/** Asks as clients of WaTTS do, and picks the credential up where the answer says. */
export async function wattsClient(context: LoadContext, installation: Installation): Promise<void> {
  const sub = 'watts'
  await repeat(context, 1000, async () => {
    const begunAt = Date.now()
    const token = goodToken(context, sub)
    const redirect = await sendTo(context, installation, {
      path: '/api/v2/iam/credential',
      method: 'POST',
      token,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ service_id: 'proxy', params: { key_type: 'ec-p256' } }),
    })
    if (redirect.status !== 303 || redirect.location === undefined) return redirect
    const { pathname } = new URL(redirect.location, 'http://localhost')
    const answer = await sendTo(context, installation, { path: pathname, token })
    if (answer.status !== 200) return answer
    const { credential } = JSON.parse(answer.body) as WattsCredential
    const pem = credential.entries.find(({ value }) => value.includes('BEGIN CERTIFICATE'))?.value
    const expected = { installation, way: 'WaTTS', sub, lifetimeSeconds: USUAL_LIFETIME_SECONDS }
    noteGrant(context.evidence, expected, { begunAt, id: credential.id, pem: pem ?? '' })
    return answer
  })
}

/** Tokens that nobody may accept. The one that is over ended long before any clock of the suite can be. */
function badTokens(): readonly { readonly name: string; readonly mint: MintRequest }[] {
  const now = Math.floor(Date.now() / 1000)
  const claims = { sub: 'bad', groups: ['cms'], aud: AUDIENCE }
  const foreign = { kid: 'rsa1', ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }
  return [
    { name: 'another audience', mint: { claims: { ...claims, aud: 'https://other.example' } } },
    { name: 'another issuer', mint: { claims: { ...claims, iss: 'https://other.example/' } } },
    {
      name: 'expired',
      mint: { claims: { ...claims, iat: now - 31 * DAY_SECONDS, exp: now - 30 * DAY_SECONDS } },
    },
    { name: 'no group', mint: { claims: { ...claims, groups: ['guests'] } } },
    { name: 'signed with another key', mint: { claims, key: foreign } },
    { name: 'not signed', mint: { claims, signature: 'none' } },
    { name: 'signed with the public key', mint: { claims, signature: 'HS256-public-key' } },
  ]
}

/** Every token that is no good, in turn, at every path that issues. */
export async function badTokenClient(
  context: LoadContext,
  installation: Installation,
): Promise<void> {
  const bad = badTokens()
  await repeat(context, 400, async (turn) => {
    const { name, mint } = bad[turn % bad.length] ?? { name: '', mint: {} }
    const sent = turn % 2 === 0 ? nativeRequest(context.csr.pem) : wattsRequest
    const token = context.system.watched.provider.mint(mint)
    const answer = await sendTo(context, installation, { ...sent, method: 'POST', token })
    if (answer.status < 400)
      context.evidence.acceptedBadTokens.push(`${installation}: ${sent.path} accepted: ${name}`)
    return answer
  })
}

const nativeRequest = (csr: string) => ({
  path: '/v1/proxies',
  headers: { 'content-type': 'application/pkcs10' },
  body: csr,
})
const wattsRequest = {
  path: '/api/v2/iam/credential',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ service_id: 'proxy', params: { key_type: 'ec-p256' } }),
}

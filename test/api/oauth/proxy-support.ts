/** Proxies of a service and signed requests for access tokens. */
import { type KeyObject, sign } from 'node:crypto'
import { expect } from 'vitest'
import { createCsr } from '../../../ca/csr.ts'
import { createSigner } from '../../../ca/key.ts'
import { TOKEN_EXCHANGE, PROXY_TOKEN_TYPE } from '../../../src/api/oauth/token-types.ts'
import type { TestService } from '../../support/service.ts'
import { bearer } from '../support.ts'

/** A proxy that a service issued for a key of the test. */
export interface TestProxy {
  /** Proxy, EEC and chain, PEM. */
  readonly chain: string
  readonly credentialId: string
  readonly key: KeyObject
}

/** Gets a proxy with a token. */
export async function getProxy(
  service: Pick<TestService, 'url'>,
  {
    token,
    key,
    parameters = {},
    send = fetch,
  }: {
    readonly token: string
    readonly key: KeyObject
    readonly parameters?: Record<string, unknown>
    readonly send?: (url: string, init: RequestInit) => Promise<Response>
  },
): Promise<TestProxy> {
  const csr = await createCsr([], createSigner(key))
  const answer = await send(`${service.url}/v1/proxies`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: JSON.stringify({ csr, ...parameters }),
  })
  const chain = await answer.text()
  expect(answer.status, chain).toBe(200)
  return { chain, key, credentialId: String(answer.headers.get('tts-credential-id')) }
}

export interface Wanted {
  readonly audiences?: readonly string[]
  readonly scope?: string
  readonly at?: Date
}

/** The parameters of a signed request, as the documentation describes them. */
export function signedFields(
  { chain, key }: Pick<TestProxy, 'chain' | 'key'>,
  { audiences = [], scope = '', at = new Date() }: Wanted = {},
): [string, string][] {
  const time = at.toISOString()
  const text = `tts access token v1\n${time}\n${audiences.join(' ')}\n${scope}`
  return [
    ['grant_type', TOKEN_EXCHANGE],
    ['subject_token_type', PROXY_TOKEN_TYPE],
    ['subject_token', chain],
    ...audiences.map((audience): [string, string] => ['audience', audience]),
    ...(scope === '' ? [] : [['scope', scope] as [string, string]]),
    ['at', time],
    ['signature', sign('sha256', Buffer.from(text), key).toString('base64')],
  ]
}

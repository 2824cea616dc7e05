/** The callers: users of the demo provider, their access tokens, and their CSRs. */
import { randomUUID, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { createCsr } from '../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../ca/key.ts'
import type { IdentityProvider } from '../demo/identity-provider/server.ts'
import type { DemoUser } from '../demo/identity-provider/users.ts'

export const AUDIENCE = 'https://tts.bench'

const signAsync = promisify(sign)

export function makeUsers(count: number): readonly DemoUser[] {
  return Array.from({ length: count }, (_, index) => ({
    sub: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    username: `user${index}`,
    name: `User ${index}`,
    email: `user${index}@example.org`,
    groups: ['cms'],
  }))
}

export interface TokenOptions {
  readonly provider: Pick<IdentityProvider, 'issuer' | 'keys' | 'clients'>
  readonly users: readonly DemoUser[]
  /** Claims that replace or add to those of an access token of INDIGO IAM. */
  readonly claims?: Readonly<Record<string, unknown>>
}

/** Tokens that are signed at a time. */
const BATCH = 64

/**
 * Mints access tokens as INDIGO IAM does: RS256 with a key of 2048 bits. The users take turns. `provider.mint` does
 * the same on one core; this uses all of them, because a run needs tens of thousands.
 */
export async function mintTokens(options: TokenOptions, count: number): Promise<readonly string[]> {
  const tokens: string[] = []
  while (tokens.length < count) {
    const from = tokens.length
    const length = Math.min(BATCH, count - from)
    tokens.push(
      ...(await Promise.all(Array.from({ length }, (_, index) => mint(options, from + index)))),
    )
  }
  return tokens
}

async function mint({ provider, users, claims }: TokenOptions, index: number): Promise<string> {
  const { kid, privateKey } = provider.keys.current
  const user = users[index % users.length]
  const now = Math.floor(Date.now() / 1000)
  const payload = {
    iss: provider.issuer,
    sub: user?.sub,
    groups: user?.groups,
    client_id: provider.clients.cli.clientId,
    aud: AUDIENCE,
    jti: randomUUID(),
    iat: now,
    exp: now + 3600,
    ...claims,
  }
  const input = `${encode({ alg: 'RS256', typ: 'JWT', kid })}.${encode(payload)}`
  const signature = await signAsync('sha256', Buffer.from(input), privateKey)
  return `${input}.${signature.toString('base64url')}`
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Makes CSRs in PEM, each with an RSA-2048 key of its own. */
export async function makeCsrs(count: number): Promise<readonly string[]> {
  const make = async (): Promise<string> =>
    createCsr([], createSigner(await generatePrivateKey('rsa-2048')))
  return Promise.all(Array.from({ length: count }, make))
}

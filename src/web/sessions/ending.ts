/** Ends sessions: deletes the record first, then revokes the refresh tokens at the providers. */
import type { SessionLogin } from '../../domain/session-records.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { LoginClient } from '../login/client.ts'
import type { Site } from '../site.ts'

/** Dependencies of `endSession`. */
export interface EndingDependencies {
  readonly site: Pick<Site, 'issuing' | 'now'>
  readonly client: Pick<LoginClient, 'revoke'>
}

/** Ends the session with this digest. Its tokens are deleted here even if a provider does not revoke them. */
export async function endSession(
  { site, client }: EndingDependencies,
  idDigest: string,
  log: Log,
): Promise<void> {
  const { sessions } = site.issuing.store
  const times = { now: site.now(), usedAfter: new Date(0) }
  const stored = await sessions.find(idDigest, times)
  await sessions.end(idDigest)
  if (stored === undefined) return
  const { login, additionalLogins } = stored.content
  await Promise.all([login, ...additionalLogins].map((one) => revokeQuietly(client, one, log)))
}

/** Revokes a refresh token. A failure is only logged, because the user is logged out either way. */
async function revokeQuietly(
  client: Pick<LoginClient, 'revoke'>,
  login: SessionLogin,
  log: Log,
): Promise<void> {
  try {
    await client.revoke(login)
  } catch (error) {
    const remedy = error instanceof TtsError ? error.remedy : undefined
    log.warn(
      { event: 'session.revocation-failed', provider: login.providerId, remedy, err: error },
      'a refresh token was deleted here but not revoked at its provider',
    )
  }
}

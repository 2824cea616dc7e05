/** The end of a session: it is off the records at once, and the providers are told that its refresh tokens are over. */
import type { SessionLogin } from '../../domain/session-records.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { LoginClient } from '../login/client.ts'
import type { Site } from '../site.ts'

/** What an end is made with. */
export interface EndingDependencies {
  readonly site: Pick<Site, 'issuing' | 'now'>
  readonly client: Pick<LoginClient, 'revoke'>
}

/** Ends a session of this digest on record. Its tokens are forgotten here whatever the providers say. */
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

/** Whoever logs out is logged out, whatever the provider does. */
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
      'a refresh token was forgotten here, but may be good at its provider until it ends',
    )
  }
}

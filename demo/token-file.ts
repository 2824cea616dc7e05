/** The file with an access token of Alice, which the demo replaces before the token expires. */
import { join } from 'node:path'
import { writePrivateFile } from '../src/files/private-file.ts'
import type { IdentityProvider } from './identity-provider/server.ts'
import { obtainAccessToken } from './user-agent.ts'

export const AUDIENCE = 'https://tts.demo'
/** Access tokens of the demo are valid for an hour; the file with the token is renewed before. */
const RENEWAL_MS = 45 * 60 * 1000

/** Logs in as Alice, and writes the token to `token` in a directory. */
export async function writeToken(directory: string, provider: IdentityProvider): Promise<void> {
  const { access_token: token } = await obtainAccessToken({
    issuer: provider.issuer,
    clientId: provider.clients.cli.clientId,
    username: 'alice',
    audience: AUDIENCE,
  })
  await writePrivateFile(join(directory, 'token'), `${token}\n`)
}

/** Writes a new token every 45 minutes, until `ended` settles. Failures go to `warn`. */
export async function renewTokenUntil(
  ended: Promise<void>,
  write: () => Promise<void>,
  warn: (error: unknown) => void,
): Promise<void> {
  const timer = setInterval(() => void write().catch(warn), RENEWAL_MS)
  await ended.finally(() => clearInterval(timer))
}

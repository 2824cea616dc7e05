/**
 * The content of the state's records: their schemas, reading and writing. Records are JSON and are checked when read.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { TtsError } from '../../base/errors.ts'
import type { RecordName, StateLock, StateStore } from './state-store.ts'

const time = z.coerce.date()
const ended = z.strictObject({ at: time, reason: z.string() }).optional()
/** Digests of the start tokens and refresh tokens that were used before, the newest last. */
const used = z.array(z.string()).default([])

const proxiesRecord = z.strictObject({
  proxies: z.record(
    z.string(),
    z.strictObject({
      pem: z.string(),
      obtained_at: time,
      /** Parameters of the request. If the settings differ from them, the proxy is renewed immediately. */
      asked: z.string(),
    }),
  ),
})

const delegationRecord = z.strictObject({
  id: z.string(),
  renewal_secret: z.string(),
  made_at: time,
  renews_until: time.optional(),
  advice: z.string().optional(),
  /** When and why it ended; absent while it is active. */
  ended,
  used,
})

const heldRefreshToken = z.strictObject({
  current: z.string(),
  previous: z.string().optional(),
  grantedAt: time,
  renewedAt: time,
  rotates: z.boolean().optional(),
  attemptBegunAt: time.optional(),
  attempt: z
    .strictObject({ owner: z.string(), key: z.string(), spool: z.string(), begunAt: time })
    .optional(),
  refreshExpiresAt: time.optional(),
})

const ownTokenRecord = z.strictObject({
  /** The client that the refresh token belongs to. IAM deletes a refresh token that another client presents. */
  issuer: z.string(),
  client_id: z.string(),
  held: heldRefreshToken,
  /** The newest access token. A restarted certcache uses it until it expires. */
  access: z.strictObject({ token: z.string(), expires_at: time }).optional(),
  /** Id of the login that brought the refresh token. */
  login: z.string().optional(),
  ended,
  used,
})

const incomingRecord = z.strictObject({
  id: z.string(),
  issuer: z.string(),
  client_id: z.string(),
  refresh_token: z.string(),
  granted_at: time,
  refresh_expires_at: time.optional(),
  access: z.strictObject({ token: z.string(), expires_at: time }).optional(),
})

/** The results of the newest attempts, written by the certcache that renewed last. */
const outcomeRecord = z.strictObject({
  proxies: z.record(
    z.string(),
    z.strictObject({
      /**
       * The output files: the settings of `certcache status` may differ from those of the certcache that wrote them.
       */
      outputs: z.array(
        z.object({
          path: z.string(),
          format: z.enum(['pem', 'split']),
          mode: z.string(),
          follow_symlink: z.boolean(),
          owner: z.union([z.string(), z.number()]).optional(),
          group: z.union([z.string(), z.number()]).optional(),
        }),
      ),
      /** The error of the newest attempt or of its files; absent after a success. */
      last_error: z
        .strictObject({
          at: time,
          code: z.string(),
          message: z.string(),
          remedy: z.string().optional(),
          of: z.enum(['renewal', 'files']),
        })
        .optional(),
    }),
  ),
  /** Id of the newest request that was answered. */
  answered: z.string().optional(),
})

const renewalRequestRecord = z.strictObject({
  id: z.string(),
  at: time,
  name: z.string(),
  /** Until when the proxy must be valid; absent: the policy of the renewing certcache decides. */
  valid_until: time.optional(),
})

const schemas = {
  proxies: proxiesRecord,
  delegation: delegationRecord,
  custody: ownTokenRecord,
  incoming: incomingRecord,
  outcome: outcomeRecord,
  'renewal-request': renewalRequestRecord,
} as const satisfies Record<RecordName, z.ZodType>

/** The content of each record. */
export type StateContent<Name extends RecordName> = z.output<(typeof schemas)[Name]>
export type OwnTokenRecord = StateContent<'custody'>
export type DelegationRecord = StateContent<'delegation'>

/**
 * Reads a record.
 *
 * @throws {TtsError} what the store throws; `configuration` when another version of certcache wrote it
 */
export async function readState<Name extends RecordName>(
  store: StateStore,
  name: Name,
): Promise<StateContent<Name> | undefined> {
  const content = await store.read(name)
  if (content === undefined) return undefined
  const parsed = schemas[name].safeParse(parseJson(content))
  if (parsed.success) return parsed.data as StateContent<Name>
  throw new TtsError('configuration', `the state (record ${name}) has an unknown format`, {
    check: 'state_form',
    remedy: 'Run the version of certcache that wrote it, or delete the state.',
  })
}

/** Writes a record. It is durable when the promise is fulfilled. */
export async function writeState<Name extends RecordName>(
  lock: Pick<StateLock, 'write'>,
  name: Name,
  content: StateContent<Name>,
): Promise<void> {
  await lock.write(name, encodeState(name, content))
}

export function encodeState<Name extends RecordName>(_: Name, content: StateContent<Name>): Buffer {
  return Buffer.from(JSON.stringify(content))
}

function parseJson(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

const MAX_DIGESTS = 20

/** Returns the digest by which a used token is recognised. */
export function digestOf(token: string): string {
  return createHash('sha256').update(`certcache used token\0${token}`).digest('base64url')
}

/** Returns the list with one more digest; the oldest are dropped. */
export function withDigest(list: readonly string[], digest: string | undefined): string[] {
  if (digest === undefined) return [...list]
  return [...list.filter((known) => known !== digest), digest].slice(-MAX_DIGESTS)
}

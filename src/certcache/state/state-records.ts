/** What stands in the records of the state, and how it is written and read: JSON, checked when it is read. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { TtsError } from '../../base/errors.ts'
import type { RecordName, StateLock, StateStore } from './state-store.ts'

const time = z.coerce.date()
const ended = z.strictObject({ at: time, reason: z.string() }).optional()
/** Digests of start tokens and refresh tokens that were used already, the newest last. */
const used = z.array(z.string()).default([])

const proxiesRecord = z.strictObject({
  proxies: z.record(
    z.string(),
    z.strictObject({
      pem: z.string(),
      obtained_at: time,
      /** What was asked for: when the settings ask for something else now, it is renewed at once. */
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
  /** Why it is over; absent while it is not. */
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
  /** Whose refresh token it is: shown by another client, IAM deletes it. */
  issuer: z.string(),
  client_id: z.string(),
  held: heldRefreshToken,
  /** The newest access token: used by the next start too, while it lives. */
  access: z.strictObject({ token: z.string(), expires_at: time }).optional(),
  /** Id of the login that it came from. */
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

/** How the newest attempts went, of whoever renewed last. */
const outcomeRecord = z.strictObject({
  proxies: z.record(
    z.string(),
    z.strictObject({
      /** Where it was written to: `certcache status` may know other settings than `certcache refresh` did. */
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
      /** Of the newest attempt, or of its files; absent when it went well. */
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
  /** Id of the newest request that was seen to. */
  answered: z.string().optional(),
})

const renewalRequestRecord = z.strictObject({
  id: z.string(),
  at: time,
  name: z.string(),
  /** Until when it shall be good; absent: whatever the policy of the one who renews says. */
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
 * @throws {TtsError} what the store throws; `configuration` when it is of another version of certcache
 */
export async function readState<Name extends RecordName>(
  store: StateStore,
  name: Name,
): Promise<StateContent<Name> | undefined> {
  const content = await store.read(name)
  if (content === undefined) return undefined
  const parsed = schemas[name].safeParse(parseJson(content))
  if (parsed.success) return parsed.data as StateContent<Name>
  throw new TtsError('configuration', `the state (record ${name}) is not understood`, {
    check: 'state_form',
    remedy: 'Run the version of certcache that wrote the state, or remove the state.',
  })
}

/** Writes a record; durable when fulfilled. */
export async function writeState<Name extends RecordName>(
  lock: Pick<StateLock, 'write'>,
  name: Name,
  content: StateContent<Name>,
): Promise<void> {
  await lock.write(name, encodeState(name, content))
}

/** A record as bytes. */
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

const MOST_DIGESTS = 20

/** What a token is remembered by once it was used. */
export function digestOf(token: string): string {
  return createHash('sha256').update(`certcache used token\0${token}`).digest('base64url')
}

/** The list with one more, bounded. */
export function withDigest(list: readonly string[], digest: string | undefined): string[] {
  if (digest === undefined) return [...list]
  return [...list.filter((known) => known !== digest), digest].slice(-MOST_DIGESTS)
}

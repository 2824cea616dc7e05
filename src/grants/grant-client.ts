import { setTimeout as delay } from 'node:timers/promises'
import * as oidc from 'openid-client'
import { unlessAborted } from '../base/async.ts'
import { TtsError } from '../base/errors.ts'
import { type RefreshHelper, toResponse } from '../refresh-helper/helper.ts'
import { newKey, type SpooledAnswer } from '../refresh-helper/spool.ts'
import { createLimitedFetch, type Fetch } from '../tokens/limited-fetch.ts'
import { answerOf, lenientFetch } from './answers.ts'
import { configurationWith } from './discovery.ts'
import type { DeviceLogin, GrantClient, Granted, RecoveredGrant } from './grant.ts'
import type { GrantKind } from './refusal-types.ts'
import { failureOf, refusalOf, refused } from './refusals.ts'

/** What a grant client is made with. */
export interface GrantClientOptions {
  /** The provider and our client there, as `discovery.ts` makes it. It is asked for anew for each grant. */
  readonly configuration: () => Promise<oidc.Configuration>
  /** How the provider is called in messages. */
  readonly providerId: string
  /** Deadline of each grant. IAM takes up to 20 s under load, and a rotated token is lost with the answer. */
  readonly timeoutMs: number
  readonly now: () => Date
  /** Default: the platform's. */
  readonly fetch?: Fetch
  /** Makes refresh requests whose answers are not lost with this process. Default: none does. */
  readonly helper?: RefreshHelper | undefined
}

/** IAM takes 5 to 20 s under load; less than 30 s loses rotated tokens. */
export const DEFAULT_GRANT_TIMEOUT_MS = 45_000

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'
/** Token answers are far smaller. */
const MAX_BODY_BYTES = 256 * 1024
const MAX_DEVICE_LIFE_SECONDS = 3600

type Work<T> = (configuration: oidc.Configuration, signal: AbortSignal) => Promise<T>

/** One client at one provider. No request is ever sent twice. */
export function createGrantClient(options: GrantClientOptions): GrantClient {
  const { now } = options
  return {
    exchange: async ({ subjectToken, audience, scopes, signal }) => {
      const parameters = {
        subject_token: subjectToken,
        subject_token_type: ACCESS_TOKEN_TYPE,
        ...wanted(audience, scopes),
      }
      const at = now()
      const answer = await perform(options, { kind: 'exchange', signal }, async (configuration) =>
        oidc.genericGrantRequest(configuration, TOKEN_EXCHANGE, parameters),
      )
      return offline(options, scopes, granted(answer, at))
    },
    refresh: async ({ refreshToken, audience, signal, attempt }) => {
      const at = now()
      const send = attempt && options.helper && { fetch: options.helper.fetchFor(attempt, options) }
      const using = { ...options, ...send }
      const answer = await perform(using, { kind: 'refresh', signal }, async (configuration) =>
        oidc.refreshTokenGrant(configuration, refreshToken, wanted(audience, [])),
      )
      return granted(answer, at)
    },
    ...(options.helper && spooling(options, options.helper)),
    startDevice: async (request) => startDevice(options, request),
    revoke: async ({ refreshToken, signal }) => {
      await perform(options, { kind: 'revocation', signal }, async (configuration) => {
        if (configuration.serverMetadata().revocation_endpoint === undefined) return
        await oidc.tokenRevocation(configuration, refreshToken, {
          token_type_hint: 'refresh_token',
        })
      })
    },
  }
}

/** Longer than a service takes that is started anew, with the spool of the one that was killed. */
const ELSEWHERE_MS = 120_000
/** Beyond its deadline a helper starts and writes. */
const HELPER_MARGIN_MS = 15_000

function spooling(
  options: GrantClientOptions,
  helper: RefreshHelper,
): Required<Pick<GrantClient, 'newAttempt' | 'recover' | 'forget'>> {
  const { timeoutMs, now } = options
  return {
    newAttempt: async (owner) => ({
      owner,
      key: newKey(),
      spool: await helper.spool(),
      begunAt: now(),
    }),
    async recover(attempt, { mayRepeat }) {
      if (attempt.spool !== (await helper.spool())) {
        const age = now().getTime() - attempt.begunAt.getTime()
        if (mayRepeat || age < 0 || age > timeoutMs + ELSEWHERE_MS) return undefined
        throw underWayElsewhere()
      }
      const found = await helper.recover(attempt, timeoutMs + HELPER_MARGIN_MS)
      return found && grantIn(options, found)
    },
    forget: async (owner) => helper.forget(owner),
  }
}

/** An answer in the spool as it would have been understood when it came; undefined when it was none of use. */
async function grantIn(
  options: GrantClientOptions,
  { answer, at, body }: SpooledAnswer,
): Promise<RecoveredGrant | undefined> {
  const shown = new URLSearchParams(body).get('refresh_token') ?? ''
  const reading = {
    ...options,
    // Nobody is asked: the answer is there.
    configuration: async () => new oidc.Configuration(READING, 'spool'),
    fetch: async () => toResponse(answer),
  }
  const signal = new AbortController().signal
  return perform(reading, { kind: 'refresh', signal }, async (configuration) =>
    oidc.refreshTokenGrant(configuration, shown),
  ).then(
    (read) => ({ granted: granted(read, new Date(at)), shown }),
    () => undefined,
  )
}

const READING = { issuer: 'https://spool.invalid', token_endpoint: 'https://spool.invalid/token' }

const underWayElsewhere = (): TtsError =>
  new TtsError('overloaded', 'another refresh of this token may still be under way', {
    check: 'refresh_helper',
    retryAfterSeconds: 10,
  })

/** The parameters of what is asked for. */
export function wanted(
  audience: string | undefined,
  scopes: readonly string[],
): Record<string, string> {
  return {
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    ...(audience !== undefined && { audience }),
  }
}

interface Performance {
  readonly kind: GrantKind
  readonly signal: AbortSignal
  /** Default: that of the client. */
  readonly timeoutMs?: number
}

/** Runs one grant under its deadline, and puts what goes wrong into our words. */
export async function perform<T>(
  options: GrantClientOptions,
  { kind, signal, timeoutMs = options.timeoutMs }: Performance,
  work: Work<T>,
): Promise<T> {
  const { providerId } = options
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const limited = createLimitedFetch(options.fetch ?? fetch, {
    timeoutMs: Math.min(timeoutMs, options.timeoutMs),
    maxBodyBytes: MAX_BODY_BYTES,
    sendAgain: false,
  })
  let sent = false
  const send: Fetch = async (url, request) => {
    sent = true
    return limited.fetch(url, request)
  }
  try {
    // A discovery that hangs costs the deadline and no more.
    const configuration = await unlessAborted(options.configuration(), deadline, tooLate)
    const own = configurationWith(configuration, lenientFetch(send, deadline))
    return await work(own, deadline)
  } catch (error) {
    const answer = answerOf(error)
    if (answer !== undefined) throw refusalOf(kind, answer, providerId)
    throw failureOf(error, providerId, sent)
  }
}

const tooLate = (): Error => new DOMException('the deadline has passed', 'TimeoutError')

/** Keycloak, and IAM for a client without the grant, say nothing and leave the refresh token out. @throws {TtsError} `grant_refused` */
export function offline(
  options: GrantClientOptions,
  scopes: readonly string[],
  answer: Granted,
): Granted {
  if (answer.refreshToken !== undefined || !scopes.includes('offline_access')) return answer
  throw refused('offline_access_refused', options.providerId)
}

/** The answer in our words; `at` is when it was asked for. */
export function granted(answer: oidc.TokenEndpointResponse, at: Date): Granted {
  const { refresh_expires_in: refreshSeconds } = answer
  return {
    accessToken: answer.access_token,
    refreshToken: answer.refresh_token,
    expiresAt: after(at, answer.expires_in),
    // Keycloak says 0 of a refresh token without end.
    refreshExpiresAt: after(at, refreshSeconds === 0 ? undefined : refreshSeconds),
    scope: answer.scope,
  }
}

function after(at: Date, seconds: unknown): Date | undefined {
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return undefined
  const end = new Date(at.getTime() + seconds * 1000)
  return Number.isNaN(end.getTime()) ? undefined : end
}

async function startDevice(
  options: GrantClientOptions,
  { audience, scopes, signal }: Parameters<GrantClient['startDevice']>[0],
): Promise<DeviceLogin> {
  const at = options.now()
  const device = await perform(options, { kind: 'device', signal }, async (configuration) => {
    if (configuration.serverMetadata().device_authorization_endpoint === undefined) {
      throw refused('grant_not_enabled', options.providerId)
    }
    return oidc.initiateDeviceAuthorization(configuration, wanted(audience, scopes))
  })
  const lifeSeconds = Math.min(device.expires_in, MAX_DEVICE_LIFE_SECONDS)
  return {
    verificationUri: device.verification_uri,
    verificationUriComplete: device.verification_uri_complete,
    userCode: device.user_code,
    expiresAt: new Date(at.getTime() + lifeSeconds * 1000),
    wait: async (waitSignal) => waitForPerson(options, { device, lifeSeconds, scopes, waitSignal }),
  }
}

interface Waiting {
  readonly device: oidc.DeviceAuthorizationResponse
  readonly lifeSeconds: number
  readonly scopes: readonly string[]
  readonly waitSignal: AbortSignal
}

async function waitForPerson(options: GrantClientOptions, waiting: Waiting): Promise<Granted> {
  const { device, lifeSeconds, waitSignal } = waiting
  const end = AbortSignal.timeout(lifeSeconds * 1000)
  const performance: Performance = {
    kind: 'device',
    signal: AbortSignal.any([waitSignal, end]),
    timeoutMs: lifeSeconds * 1000,
  }
  for (;;) {
    try {
      const answer = await perform(options, performance, async (configuration, signal) =>
        oidc.pollDeviceAuthorizationGrant(configuration, device, undefined, { signal }),
      )
      return offline(options, waiting.scopes, granted(answer, options.now()))
    } catch (error) {
      if (end.aborted) throw refused('device_expired', options.providerId)
      // RFC 8628 section 3.5: a connection that breaks is no reason to give up.
      if (waitSignal.aborted || !isPassing(error)) throw error
      await delay((device.interval ?? 5) * 1000, undefined, { signal: end }).catch(() => undefined)
    }
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'provider_unavailable'
}

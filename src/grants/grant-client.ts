import { setTimeout as delay } from 'node:timers/promises'
import * as oidc from 'openid-client'
import { unlessAborted } from '../base/async.ts'
import {
  type AudienceRequest,
  type RequestHabits,
  requestHabits,
} from '../config/provider-profile.ts'
import { TtsError } from '../base/errors.ts'
import { type RefreshHelper, toResponse } from '../refresh-helper/helper.ts'
import { newKey, type SpooledAnswer } from '../refresh-helper/spool.ts'
import { createLimitedFetch, type Fetch } from '../tokens/limited-fetch.ts'
import { answerOf, lenientFetch } from './answers.ts'
import { configurationWith } from './discovery.ts'
import type { DeviceLogin, GrantClient, Granted, RecoveredGrant } from './grant.ts'
import type { GrantKind } from './refusal-types.ts'
import { failureOf, refusalOf, refused } from './refusals.ts'

/** What a grant client needs. */
export interface GrantClientOptions {
  /** Returns the configuration of provider and client (see `discovery.ts`); called for each grant. */
  readonly configuration: () => Promise<oidc.Configuration>
  /** Name of the provider in messages. */
  readonly providerId: string
  /**
   * Deadline of each grant, in milliseconds. IAM takes up to 20 s under load; if the answer is cut off, a rotated
   * token is lost.
   */
  readonly timeoutMs: number
  readonly now: () => Date
  /** How the provider wants its requests. Default: those of the profile `generic`. */
  readonly habits?: RequestHabits | undefined
  /** Default: the global `fetch`. */
  readonly fetch?: Fetch
  /** Makes refresh requests whose answers survive this process. Default: the process itself makes them. */
  readonly helper?: RefreshHelper | undefined
}

/** IAM takes 5 to 20 s under load; deadlines below 30 s lose rotated tokens. */
export const DEFAULT_GRANT_TIMEOUT_MS = 45_000

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:'
export const OFFLINE = 'offline_access'
/** Token answers are far smaller. */
const MAX_BODY_BYTES = 256 * 1024
const MAX_DEVICE_LIFE_SECONDS = 3600

type Work<T> = (configuration: oidc.Configuration, signal: AbortSignal) => Promise<T>

/** Creates the grant client of one client at one provider. It never repeats a request. */
export function createGrantClient(options: GrantClientOptions): GrantClient {
  const { now } = options
  return {
    exchange: async (request) => exchange(options, request),
    refresh: async ({ refreshToken, audience, signal, attempt }) => {
      const at = now()
      const send = attempt && options.helper && { fetch: options.helper.fetchFor(attempt, options) }
      const using = { ...options, ...send }
      const answer = await perform(using, { kind: 'refresh', signal }, async (configuration) =>
        oidc.refreshTokenGrant(
          configuration,
          refreshToken,
          audienceParameters(configuration, options.habits, { request: 'refresh', audience }),
        ),
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

/** Longer than a killed service needs to restart with its spool. */
const OTHER_REPLICA_MS = 120_000
/** Time that a helper needs to start and to write, in addition to its deadline. */
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
        // In the near future: the clock of the other replica is ahead.
        if (mayRepeat || Math.abs(age) > timeoutMs + OTHER_REPLICA_MS) return undefined
        throw mayRunElsewhere()
      }
      const found = await helper.recover(attempt, timeoutMs + HELPER_MARGIN_MS)
      return found && grantIn(options, found)
    },
    forget: async (owner) => helper.forget(owner),
  }
}

/** Parses an answer from the spool like one from the provider; undefined when it holds no tokens. */
async function grantIn(
  options: GrantClientOptions,
  { answer, at, body }: SpooledAnswer,
): Promise<RecoveredGrant | undefined> {
  const shown = new URLSearchParams(body).get('refresh_token') ?? ''
  const reading = {
    ...options,
    // No request is sent: the answer comes from the spool.
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

const mayRunElsewhere = (): TtsError =>
  new TtsError('overloaded', 'another refresh of this token may still be under way', {
    check: 'refresh_helper',
    retryAfterSeconds: 10,
  })

/** An audience, and the request that asks for it. */
export interface RequestedAudience {
  readonly request: AudienceRequest
  /** Undefined: the provider chooses. */
  readonly audience: string | undefined
}

/** Returns the parameter that requests an audience in the way of the provider (RFC 8693 section 2.1, RFC 8707). */
export function audienceParameters(
  configuration: oidc.Configuration,
  habits: RequestHabits = GENERIC,
  { request, audience }: RequestedAudience,
): Record<string, string> {
  const parameter = habits.audienceParameter[request]
  if (parameter === 'client_id') return { audience: configuration.clientMetadata().client_id }
  return audience === undefined || parameter === 'none' ? {} : { [parameter]: audience }
}

const GENERIC = requestHabits({ profile: 'generic', audience_parameter: {} })

/** Returns the parameter `scope`, if there are scopes. */
export function scopeParameters(scopes: readonly string[]): Record<string, string> {
  return scopes.length > 0 ? { scope: scopes.join(' ') } : {}
}

async function exchange(
  options: GrantClientOptions,
  { subjectToken, audience, scopes, signal }: Parameters<GrantClient['exchange']>[0],
): Promise<Granted> {
  const { habits = GENERIC } = options
  const { requestedTokenType: type } = habits
  // Keycloak refuses offline_access here; the refresh token of the session is requested by its type.
  const requested = type === 'refresh_token' ? scopes.filter((one) => one !== OFFLINE) : scopes
  const at = options.now()
  const answer = await perform(options, { kind: 'exchange', signal }, async (configuration) =>
    oidc.genericGrantRequest(configuration, TOKEN_EXCHANGE, {
      subject_token: subjectToken,
      subject_token_type: `${TOKEN_TYPE}access_token`,
      ...(type !== 'none' && { requested_token_type: `${TOKEN_TYPE}${type}` }),
      ...scopeParameters(requested),
      ...audienceParameters(configuration, habits, { request: 'exchange', audience }),
    }),
  )
  const isRequired = type === 'refresh_token' || scopes.includes(OFFLINE)
  return requireRefreshToken(options, isRequired, granted(answer, at))
}

interface PerformOptions {
  readonly kind: GrantKind
  readonly signal: AbortSignal
  /** Default: that of the client. */
  readonly timeoutMs?: number
}

/**
 * Runs one grant under its deadline.
 *
 * @param timeoutMs default: the deadline of the client
 * @throws {TtsError} `grant_refused`, `provider_unavailable`
 */
export async function perform<T>(
  options: GrantClientOptions,
  { kind, signal, timeoutMs = options.timeoutMs }: PerformOptions,
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
    // The deadline also covers discovery.
    const configuration = await unlessAborted(options.configuration(), deadline, tooLate)
    const own = configurationWith(configuration, lenientFetch(send, deadline))
    return await work(own, deadline)
  } catch (error) {
    const answer = answerOf(error)
    if (answer !== undefined) throw refusalOf(kind, answer, options)
    throw failureOf(error, providerId, sent)
  }
}

const tooLate = (): Error => new DOMException('the deadline has passed', 'TimeoutError')

/**
 * Requires a refresh token if one was requested: Keycloak, and IAM for a client without the grant, silently leave it
 * out.
 *
 * @throws {TtsError} `grant_refused`, check `offline_access_refused`
 */
export function requireRefreshToken(
  options: GrantClientOptions,
  isRequired: boolean,
  answer: Granted,
): Granted {
  if (answer.refreshToken !== undefined || !isRequired) return answer
  throw refused('offline_access_refused', options)
}

/** Converts a token answer; `at` is the time of the request. */
export function granted(answer: oidc.TokenEndpointResponse, at: Date): Granted {
  const { refresh_expires_in: refreshSeconds } = answer
  return {
    accessToken: answer.access_token,
    refreshToken: answer.refresh_token,
    expiresAt: after(at, answer.expires_in),
    // Keycloak sends 0 for a refresh token that does not expire.
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
      throw refused('grant_not_enabled', options)
    }
    return oidc.initiateDeviceAuthorization(configuration, {
      ...scopeParameters(scopes),
      ...audienceParameters(configuration, options.habits, { request: 'device', audience }),
    })
  })
  const lifeSeconds = Math.min(device.expires_in, MAX_DEVICE_LIFE_SECONDS)
  return {
    verificationUri: device.verification_uri,
    verificationUriComplete: device.verification_uri_complete,
    userCode: device.user_code,
    expiresAt: new Date(at.getTime() + lifeSeconds * 1000),
    wait: async (waitSignal) =>
      waitForUser(options, { device, lifeSeconds, audience, scopes, waitSignal }),
  }
}

interface DeviceWait {
  readonly device: oidc.DeviceAuthorizationResponse
  readonly lifeSeconds: number
  readonly audience: string | undefined
  readonly scopes: readonly string[]
  readonly waitSignal: AbortSignal
}

async function waitForUser(options: GrantClientOptions, waiting: DeviceWait): Promise<Granted> {
  const { device, lifeSeconds, audience, waitSignal } = waiting
  const end = AbortSignal.timeout(lifeSeconds * 1000)
  const performOptions: PerformOptions = {
    kind: 'device',
    signal: AbortSignal.any([waitSignal, end]),
    timeoutMs: lifeSeconds * 1000,
  }
  for (;;) {
    try {
      const answer = await perform(options, performOptions, async (configuration, signal) =>
        oidc.pollDeviceAuthorizationGrant(
          configuration,
          device,
          // IAM ignores the audience in the first request and needs it in this one; RFC 8707 has it in both.
          audienceParameters(configuration, options.habits, { request: 'device', audience }),
          { signal },
        ),
      )
      const isRequired = waiting.scopes.includes(OFFLINE)
      return requireRefreshToken(options, isRequired, granted(answer, options.now()))
    } catch (error) {
      if (end.aborted) throw refused('device_expired', options)
      // A broken connection does not end the polling (RFC 8628 section 3.5).
      if (waitSignal.aborted || !isTemporary(error)) throw error
      await delay((device.interval ?? 5) * 1000, undefined, { signal: end }).catch(() => undefined)
    }
  }
}

function isTemporary(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'provider_unavailable'
}

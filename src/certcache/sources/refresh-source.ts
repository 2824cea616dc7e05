/**
 * The refresh source: a client of our own at the identity provider, with access tokens by token exchange and refresh.
 */
import { createSingleFlight } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import { renewableUntil } from '../../grants/refresh-token.ts'
import type { GrantClient } from '../../grants/grant.ts'
import { createGrantClient } from '../../grants/grant-client.ts'
import type { RefreshHelper } from '../../refresh-helper/helper.ts'
import {
  type AccessToken,
  type AccessTokenRequest,
  obtainAccessToken,
  outlivesRefreshToken,
  recoverRefreshToken,
  type RefreshTokenParts,
  type TokenStart,
} from './own-refresh-token.ts'
import { ownClientOptions } from './own-client.ts'
import type { ServiceProxyRequest, ServiceProxy } from './service-client.ts'
import type { ProxySource, SourceParts } from './source.ts'
import { freshToken, sourceEnded } from './start-token.ts'
import {
  type StateContent,
  type OwnTokenRecord,
  digestOf,
  readState,
} from '../state/state-records.ts'

export interface RefreshSourceParts extends SourceParts {
  /** Undefined in read-only mode, where nothing is refreshed. */
  readonly helper: RefreshHelper | undefined
  readonly cluster: string
  /** Its directory, or its database, for people. */
  readonly statePlace: string
}

/** A proxy source that also accepts logins of `certcache login`. */
export interface RefreshSource extends ProxySource {
  /** @throws {TtsError} as `obtainAccessToken`; the login can be accepted again later */
  acceptLogin(login: StateContent<'incoming'>): Promise<void>
}

/** Required remaining lifetime of an access token: covers the way to the service and a clock difference of a minute. */
const FRESH_FOR_SECONDS = 90
/** Longer than one use of the refresh token: discovery, and the deadline of one refresh. */
const LOCK_WAIT_MS = 120_000
const METADATA_AGE_MS = 24 * 3_600_000

export function createRefreshSource(parts: RefreshSourceParts): RefreshSource {
  return new OwnClientSource(parts)
}

class OwnClientSource implements RefreshSource {
  readonly kind = 'refresh'
  readonly #parts: RefreshSourceParts
  #record: OwnTokenRecord | undefined
  #version: string | undefined
  #access: AccessToken | undefined
  readonly #client: GrantClient
  readonly #refresh = createSingleFlight<AccessToken>()
  /** Whether the service refused a new token. It would refuse another new one too. */
  #newTokenRefused = false

  constructor(parts: RefreshSourceParts) {
    this.#parts = parts
    this.#client = clientOf(parts)
  }

  async load(): Promise<void> {
    await this.#recover()
    await this.#reload()
  }

  async #reload(): Promise<void> {
    const { store, settings } = this.#parts
    const version = await store.version('custody')
    if (version === this.#version) return
    const record = await readState(store, 'custody')
    const isOurs = record?.issuer === settings.issuer && record?.client_id === settings.client_id
    this.#record = isOurs ? record : undefined
    this.#version = version
  }

  isAlive(): boolean {
    return this.#record !== undefined && this.#record.ended === undefined
  }

  async canStart(): Promise<boolean> {
    return this.#start().then(
      (start) => start !== undefined,
      () => false,
    )
  }

  async obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy> {
    const { service } = this.#parts
    const cached = this.#cachedToken(undefined)
    // Do not ask the provider for a token while the service cannot be reached.
    if (cached === undefined) await service.checkReachable(signal)
    const access = cached ?? (await this.#accessToken(undefined))
    try {
      const proxy = await service.requestProxy(request, { bearer: access.token }, signal)
      this.#newTokenRefused = false
      return proxy
    } catch (error) {
      const refused = error instanceof TtsError && error.code === 'invalid_token'
      if (!refused || this.#newTokenRefused) throw error
    }
    // The token may have been revoked before its end, for example when another client refreshed.
    const fresh = await this.#accessToken(digestOf(access.token))
    this.#newTokenRefused = true
    const proxy = await service.requestProxy(request, { bearer: fresh.token }, signal)
    this.#newTokenRefused = false
    return proxy
  }

  async acceptLogin(login: StateContent<'incoming'>): Promise<void> {
    const { refresh_token: token, granted_at: at, refresh_expires_at: end, access } = login
    await this.#run({
      start: {
        kind: 'login',
        id: login.id,
        token,
        granted_at: at.toISOString(),
        refresh_expires_at: end?.toISOString(),
        access: access && { token: access.token, expires_at: access.expires_at.toISOString() },
      },
      refused: undefined,
    })
  }

  status(): ReturnType<ProxySource['status']> {
    const record = this.#record
    const days = this.#parts.settings.refresh_token_lifetime_days
    const alive = record !== undefined && record.ended === undefined
    const until = alive ? renewableUntil(heldOf(record), days) : undefined
    return {
      kind: record === undefined ? 'none' : 'refresh',
      delegationId: undefined,
      renewsUntil: until,
      advice: adviceOf(record, until, days),
      ended: record?.ended?.reason,
    }
  }

  /** Returns the access token in memory while it is fresh, otherwise a new one. Concurrent callers share it. */
  async #accessToken(refused: string | undefined): Promise<AccessToken> {
    const cached = this.#cachedToken(refused)
    if (cached !== undefined) return cached
    return this.#refresh.run(async () => this.#run({ start: await this.#start(), refused }))
  }

  #cachedToken(refused: string | undefined): AccessToken | undefined {
    // After renewal has ended the token in memory is not used any more, even if a clock set back makes it look fresh.
    const cached = this.#record?.ended === undefined ? this.#access : undefined
    if (cached === undefined || digestOf(cached.token) === refused) return undefined
    if (outlivesRefreshToken(cached.expiresAt, this.#record)) return undefined
    const leftMs = cached.expiresAt.getTime() - this.#parts.now().getTime()
    return leftMs > FRESH_FOR_SECONDS * 1000 ? cached : undefined
  }

  async #run(options: Pick<AccessTokenRequest, 'start' | 'refused'>): Promise<AccessToken> {
    try {
      this.#access = await obtainAccessToken(this.#tokenParts(), this.#request(options))
      return this.#access
    } finally {
      await this.#reload().catch(() => undefined)
    }
  }

  /** Stores an answer from the spool of this machine, even while another certcache renews. */
  async #recover(): Promise<void> {
    const { helper, cluster, log } = this.#parts
    if (helper === undefined || this.#refresh.current !== undefined) return
    try {
      if (!(await helper.owners()).includes(cluster)) return
      const options = { start: undefined, refused: undefined }
      // No wait for the lock: its holder reads the spool too.
      await recoverRefreshToken(this.#tokenParts(), { ...this.#request(options), lock_wait_ms: 0 })
    } catch (error) {
      const message = 'cannot store a new refresh token; it is in the refresh spool only'
      log.error({ event: 'state.unwritten', err: error }, message)
    }
  }

  #tokenParts(): RefreshTokenParts {
    const { store, now, cluster } = this.#parts
    return { store, now, client: this.#client, owner: cluster }
  }

  #request(options: Pick<AccessTokenRequest, 'start' | 'refused'>): AccessTokenRequest {
    const { issuer = '', client_id = '', audience, scopes } = this.#parts.settings
    const bounds = { fresh_for_seconds: FRESH_FOR_SECONDS, lock_wait_ms: LOCK_WAIT_MS }
    return { issuer, client_id, audience, scopes, ...bounds, ...options }
  }

  /** Returns the credential to start with; undefined while there is a refresh token. */
  async #start(): Promise<TokenStart | undefined> {
    if (this.isAlive()) return undefined
    const used = this.#record?.used ?? []
    const { settings, startTokens, now } = this.#parts
    const { refresh_token: configured } = settings
    if (configured !== undefined && !used.includes(digestOf(configured)))
      return { kind: 'refresh_token', token: configured }
    const at = { now: now(), endedBecause: this.#record?.ended?.reason }
    return { kind: 'exchange', token: await freshToken(startTokens, used, at) }
  }
}

function clientOf({ settings, now, helper }: RefreshSourceParts): GrantClient {
  const { issuer = '', client_id = '' } = settings
  return createGrantClient({
    ...ownClientOptions({ ...settings, issuer, client_id }, now, METADATA_AGE_MS),
    helper,
  })
}

function heldOf({ held }: OwnTokenRecord) {
  const { previous, rotates, attemptBegunAt } = held
  return { ...held, previous, rotates, attemptBegunAt }
}

function adviceOf(
  record: OwnTokenRecord | undefined,
  until: Date | undefined,
  days: number,
): string {
  if (record === undefined) return 'There is no refresh token yet.'
  if (record.ended !== undefined)
    return `Renewal ended at ${record.ended.at.toISOString()}. ${sourceEnded('').remedy ?? ''}`
  const end = until?.toISOString() ?? 'an unknown date'
  if (record.held.refreshExpiresAt !== undefined)
    return `The identity provider ends renewal at ${end}. certcache renews before then, which extends it unless the login session ends first; after that, log in with \`certcache login\`, or supply a new token.`
  return record.held.rotates === true
    ? `Renewal continues as long as it succeeds at least once in ${days} days; otherwise it ends at ${end}.`
    : `Renewal ends at ${end}; log in with \`certcache login\`, or supply a new token, before then.`
}

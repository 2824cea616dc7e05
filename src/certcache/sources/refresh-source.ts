/** Our own client at the identity provider: access tokens by exchange and refresh (`own-refresh-token.ts`). */
import { createSingleFlight } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import { renewableUntil } from '../../grants/refresh-token.ts'
import { rememberedConfiguration } from '../../grants/discovery.ts'
import type { GrantClient } from '../../grants/grant.ts'
import { createGrantClient } from '../../grants/grant-client.ts'
import type { RefreshHelper } from '../../refresh-helper/helper.ts'
import {
  type AccessToken,
  type AccessTokenRequest,
  obtainAccessToken,
  recoverRefreshToken,
  type RefreshTokenParts,
  type TokenStart,
} from './own-refresh-token.ts'
import type { ServiceProxyRequest, ServiceProxy } from './service-client.ts'
import type { ProxySource, SourceParts } from './source.ts'
import { sourceEnded } from './source-ended.ts'
import { freshToken } from './start-token.ts'
import {
  type StateContent,
  type OwnTokenRecord,
  digestOf,
  readState,
} from '../state/state-records.ts'

export interface RefreshSourceParts extends SourceParts {
  /** Undefined where nothing is written: then nothing is refreshed. */
  readonly helper: RefreshHelper | undefined
  readonly cluster: string
}

/** A proxy source that also takes what `certcache login` brought. */
export interface RefreshSource extends ProxySource {
  /** @throws {TtsError} as `obtainAccessToken`; the login may be taken again then */
  takeLogin(login: StateContent<'incoming'>): Promise<void>
}

/** The service verifies a token when it comes; a minute covers the way there and clocks that differ. */
const FRESH_FOR_SECONDS = 90
/** Longer than one use of the refresh token takes: discovery, and the deadline of one refresh. */
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
  /** A token was refused though it was new: another one would be too. */
  #refusedAfresh = false

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
    const ours = record?.issuer === settings.issuer && record?.client_id === settings.client_id
    this.#record = ours ? record : undefined
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
    const known = this.#known(undefined)
    // The provider is not asked for tokens that nobody takes.
    if (known === undefined) await service.requireThere(signal)
    const access = known ?? (await this.#accessToken(undefined))
    try {
      const proxy = await service.requestProxy(request, { bearer: access.token }, signal)
      this.#refusedAfresh = false
      return proxy
    } catch (error) {
      const refused = error instanceof TtsError && error.code === 'invalid_token'
      if (!refused || this.#refusedAfresh) throw error
    }
    // It may have been revoked before its time, for example by a refresh of another client's doing.
    const again = await this.#accessToken(digestOf(access.token))
    this.#refusedAfresh = true
    const proxy = await service.requestProxy(request, { bearer: again.token }, signal)
    this.#refusedAfresh = false
    return proxy
  }

  async takeLogin(login: StateContent<'incoming'>): Promise<void> {
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

  /** What is in memory while it lives; else a new one. However many ask, one is got. */
  async #accessToken(refused: string | undefined): Promise<AccessToken> {
    const known = this.#known(refused)
    if (known !== undefined) return known
    return this.#refresh.run(async () => this.#run({ start: await this.#start(), refused }))
  }

  #known(refused: string | undefined): AccessToken | undefined {
    // With the end of renewal the token in memory is no longer shown, even if a clock that was set back makes it fresh.
    const known = this.#record?.ended === undefined ? this.#access : undefined
    if (known === undefined || digestOf(known.token) === refused) return undefined
    const leftMs = known.expiresAt.getTime() - this.#parts.now().getTime()
    return leftMs > FRESH_FOR_SECONDS * 1000 ? known : undefined
  }

  async #run(wanted: Pick<AccessTokenRequest, 'start' | 'refused'>): Promise<AccessToken> {
    try {
      this.#access = await obtainAccessToken(this.#tokenParts(), this.#request(wanted))
      return this.#access
    } finally {
      await this.#reload().catch(() => undefined)
    }
  }

  /** Whoever has an answer in its spool stores it, also when another certcache renews by now. */
  async #recover(): Promise<void> {
    const { helper, cluster, log } = this.#parts
    if (helper === undefined || this.#refresh.current !== undefined) return
    try {
      if (!(await helper.owners()).includes(cluster)) return
      const nothing = { start: undefined, refused: undefined }
      // Whoever uses the token now sees the answer too.
      await recoverRefreshToken(this.#tokenParts(), { ...this.#request(nothing), lock_wait_ms: 0 })
    } catch (error) {
      const what = 'a new refresh token lies in the refresh spool only: it could not be stored'
      log.error({ event: 'state.unwritten', err: error }, what)
    }
  }

  #tokenParts(): RefreshTokenParts {
    const { store, now, cluster } = this.#parts
    return { store, now, client: this.#client, owner: cluster }
  }

  #request(wanted: Pick<AccessTokenRequest, 'start' | 'refused'>): AccessTokenRequest {
    const { issuer = '', client_id = '', audience, scopes } = this.#parts.settings
    const bounds = { fresh_for_seconds: FRESH_FOR_SECONDS, lock_wait_ms: LOCK_WAIT_MS }
    return { issuer, client_id, audience, scopes, ...bounds, ...wanted }
  }

  /** What to begin with when nothing is held; undefined when something is. Nobody is asked in vain. */
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
  const { issuer = '', client_id: clientId = '', client_secret: clientSecret } = settings
  const timeoutMs = settings.timeout_seconds * 1000
  const providerId = URL.canParse(issuer) ? new URL(issuer).hostname : issuer
  const provider = { issuer, clientId, clientSecret, providerId, timeoutMs }
  const configuration = rememberedConfiguration(provider, now, METADATA_AGE_MS)
  return createGrantClient({ configuration, providerId, timeoutMs, now, helper })
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
    return `Renewal is over since ${record.ended.at.toISOString()}. ${sourceEnded('').remedy ?? ''}`
  const end = until?.toISOString() ?? 'a day that is not known'
  return record.held.rotates === true
    ? `Renewal goes on as long as it works at least once in ${days} days; without that it ends on ${end}.`
    : `Renewal ends on ${end}; log in with \`certcache login\`, or give a new token, before then.`
}

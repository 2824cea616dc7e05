/** A delegation in the service: the token is shown once; from then on a renewal secret is enough. */
import { hostname } from 'node:os'
import { createSingleFlight } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import type { ProxySource, SourceParts } from './source.ts'
import { sourceEnded } from './source-ended.ts'
import { freshToken } from './start-token.ts'
import {
  type DelegationRecord,
  digestOf,
  readState,
  withDigest,
  writeState,
} from '../state/state-records.ts'
import type { ServiceProxyRequest, ServiceProxy } from './service-client.ts'

const MAX_LABEL = 100

export function createDelegationSource(parts: SourceParts, cluster: string): ProxySource {
  return new DelegationSource(parts, `certcache ${cluster} on ${hostname()}`.slice(0, MAX_LABEL))
}

class DelegationSource implements ProxySource {
  readonly kind = 'delegation'
  readonly #parts: SourceParts
  readonly #label: string
  #record: DelegationRecord | undefined
  #version: string | undefined
  /** True while the record could not be written: it is used from memory, and written as soon as that works. */
  #unsaved = false
  readonly #making = createSingleFlight<DelegationRecord>()

  constructor(parts: SourceParts, label: string) {
    this.#parts = parts
    this.#label = label
  }

  async load(): Promise<void> {
    if (this.#unsaved) await this.#save()
    const version = await this.#parts.store.version('delegation')
    if (version === this.#version || this.#unsaved) return
    this.#record = await readState(this.#parts.store, 'delegation')
    this.#version = version
  }

  isAlive(): boolean {
    return (
      (this.#record !== undefined && this.#record.ended === undefined) || this.#isConfiguredAnew()
    )
  }

  async canStart(): Promise<boolean> {
    return this.#freshToken().then(
      () => true,
      () => false,
    )
  }

  async obtain(request: ServiceProxyRequest, signal: AbortSignal): Promise<ServiceProxy> {
    const delegation = await this.#delegation(signal)
    try {
      return await this.#renewBy(delegation, request, signal)
    } catch (error) {
      if (!(error instanceof TtsError) || !isEnd(error)) throw error
      await this.#end(delegation, error)
    }
    // A token that was given since: it starts a new one, now. Else the reason why the old one ended is thrown.
    return this.#renewBy(await this.#delegation(signal), request, signal)
  }

  status(): ReturnType<ProxySource['status']> {
    const record = this.#record
    return {
      kind: record === undefined ? 'none' : 'delegation',
      delegationId: record?.id,
      renewsUntil: record?.ended === undefined ? record?.renews_until : undefined,
      advice: adviceOf(record),
      ended: record?.ended?.reason,
    }
  }

  async #renewBy(
    { id, renewal_secret: bearer }: DelegationRecord,
    request: ServiceProxyRequest,
    signal: AbortSignal,
  ): Promise<ServiceProxy> {
    const proxy = await this.#parts.service.requestProxy(
      request,
      { bearer, delegationId: id },
      signal,
    )
    const until = proxy.renewsUntil
    const record = this.#record
    if (until && record?.id === id && record.renews_until?.getTime() !== until.getTime()) {
      // The service's advice named the old day.
      this.#keep({ ...record, renews_until: until, advice: undefined })
      await this.#save()
    }
    return proxy
  }

  /** The delegation to renew by; made when there is none. However many ask: one is made. */
  async #delegation(signal: AbortSignal): Promise<DelegationRecord> {
    if (this.#isConfiguredAnew()) await this.#adoptConfigured()
    if (this.#record !== undefined && this.#record.ended === undefined) return this.#record
    return this.#making.run(async () => this.#make(signal))
  }

  async #make(signal: AbortSignal): Promise<DelegationRecord> {
    const { service, now, log } = this.#parts
    const token = await this.#freshToken()
    const made = await service.createDelegation(token, this.#label, signal).catch(noDelegations)
    const record = {
      id: made.id,
      renewal_secret: made.renewalSecret,
      made_at: now(),
      ...(made.renewsUntil && { renews_until: made.renewsUntil }),
      ...(made.advice === undefined ? {} : { advice: made.advice }),
      used: withDigest(this.#record?.used ?? [], digestOf(token)),
    }
    this.#keep(record)
    await this.#save()
    log.info({ event: 'delegation.made', delegation: made.id }, 'the service renews from now on')
    return record
  }

  async #freshToken(): Promise<string> {
    return freshToken(this.#parts.startTokens, this.#record?.used ?? [], {
      now: this.#parts.now(),
      endedBecause: this.#record?.ended?.reason,
    })
  }

  /** Whether the settings name a delegation that the state has not seen yet. */
  #isConfiguredAnew(): boolean {
    const { delegation_id: id, renewal_secret: secret } = this.#parts.settings
    if (id === undefined || secret === undefined) return false
    return this.#record === undefined || !this.#record.used.includes(digestOf(secret))
  }

  async #adoptConfigured(): Promise<void> {
    const { delegation_id: id = '', renewal_secret: secret = '' } = this.#parts.settings
    const used = withDigest(this.#record?.used ?? [], digestOf(secret))
    this.#keep({ id, renewal_secret: secret, made_at: this.#parts.now(), used })
    await this.#save()
  }

  async #end(delegation: DelegationRecord, error: TtsError): Promise<void> {
    if (this.#record?.id !== delegation.id) return
    // A wrong secret may be a service whose database was put back: it is not remembered as the end.
    if (error.code !== 'delegation_ended') {
      if (!(await this.canStart())) throw error
    }
    this.#keep({
      ...this.#record,
      ended: { at: this.#parts.now(), reason: error.message },
      renews_until: undefined,
    })
    await this.#save()
    this.#parts.log.error(
      { event: 'delegation.ended', delegation: delegation.id, err: error },
      'the delegation has ended',
    )
  }

  #keep(record: DelegationRecord): void {
    this.#record = record
    this.#unsaved = true
  }

  async #save(): Promise<void> {
    const lock = this.#parts.lock()
    const record = this.#record
    if (lock === undefined || record === undefined) return
    try {
      await writeState(lock, 'delegation', record)
      this.#unsaved = false
      this.#version = await this.#parts.store.version('delegation')
    } catch (error) {
      const what = 'the delegation is in memory only: the state cannot be written'
      this.#parts.log.error({ event: 'state.unwritten', err: error }, what)
    }
  }
}

const isEnd = (error: TtsError): boolean =>
  error.code === 'delegation_ended' ||
  (error.code === 'invalid_token' && error.check === 'renewal_secret')

/** A service of an older version has no such path, another one makes no delegations for this provider. */
function noDelegations(error: unknown): never {
  if (!(error instanceof TtsError) || error.code !== 'not_found') throw error
  throw new TtsError('not_found', 'the service makes no delegations for this identity provider', {
    check: 'delegations',
    remedy:
      'Ask the operator of the service to set providers.<id>.delegation. Without it, proxies are renewed only as long as something else renews the token.',
    cause: error,
  })
}

function adviceOf(record: DelegationRecord | undefined): string {
  if (record === undefined) return 'There is no delegation yet.'
  if (record.ended !== undefined)
    return `Renewal is over since ${record.ended.at.toISOString()}. ${sourceEnded('').remedy ?? ''}`
  if (record.advice !== undefined) return record.advice
  return record.renews_until === undefined
    ? 'The service renews; it does not tell until when.'
    : `The service renews until ${record.renews_until.toISOString()}; give a new token before then.`
}

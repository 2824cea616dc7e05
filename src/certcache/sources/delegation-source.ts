/** The delegation source: sends the token to the service once, and renews with the delegation's secret from then on. */
import { hostname } from 'node:os'
import { createSingleFlight } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import { delegationLabel, endEarlierDelegations, type StateName } from './earlier-delegations.ts'
import type { ProxySource, SourceParts } from './source.ts'
import { freshToken, sourceEnded } from './start-token.ts'
import {
  type DelegationRecord,
  digestOf,
  readState,
  withDigest,
  writeState,
} from '../state/state-records.ts'
import type { ServiceProxyRequest, ServiceProxy } from './service-client.ts'

export function createDelegationSource(parts: SourceParts, state: StateName): ProxySource {
  return new DelegationSource(parts, delegationLabel(state, hostname()))
}

class DelegationSource implements ProxySource {
  readonly kind = 'delegation'
  readonly #parts: SourceParts
  readonly #label: string
  #record: DelegationRecord | undefined
  #version: string | undefined
  /** Whether the record is in memory only because it could not be written; each load tries again. */
  #unsaved = false
  readonly #creation = createSingleFlight<DelegationRecord>()

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
      (this.#record !== undefined && this.#record.ended === undefined) || this.#hasNewSettings()
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
      return await this.#renewWith(delegation, request, signal)
    } catch (error) {
      if (!(error instanceof TtsError) || !isEnd(error)) throw error
      await this.#end(delegation, error)
    }
    // A new token starts a new delegation. Without one this throws the reason why the old delegation ended.
    return this.#renewWith(await this.#delegation(signal), request, signal)
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

  async #renewWith(
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
      // The stored advice names the old date.
      this.#setRecord({ ...record, renews_until: until, advice: undefined })
      await this.#save()
    }
    return proxy
  }

  /** Returns the delegation to renew with. Creates one if there is none; concurrent callers share it. */
  async #delegation(signal: AbortSignal): Promise<DelegationRecord> {
    if (this.#hasNewSettings()) await this.#adoptConfigured()
    if (this.#record !== undefined && this.#record.ended === undefined) return this.#record
    return this.#creation.run(async () => this.#create(signal))
  }

  async #create(signal: AbortSignal): Promise<DelegationRecord> {
    const { service, now, log, settings } = this.#parts
    const token = await this.#freshToken()
    const created = await service
      .createDelegation(token, this.#label, signal)
      .catch(explainNotFound)
    const record = {
      id: created.id,
      renewal_secret: created.renewalSecret,
      made_at: now(),
      ...(created.renewsUntil && { renews_until: created.renewsUntil }),
      ...(created.advice === undefined ? {} : { advice: created.advice }),
      used: withDigest(this.#record?.used ?? [], digestOf(token)),
    }
    this.#setRecord(record)
    await this.#save()
    log.info(
      { event: 'delegation.made', delegation: created.id },
      'created a delegation; the service renews from now on',
    )
    // Only a delegation that is in the state can take over.
    if (settings.replace_delegation && !this.#unsaved)
      await endEarlierDelegations({ service, log, token, label: this.#label, created, signal })
    return record
  }

  async #freshToken(): Promise<string> {
    return freshToken(this.#parts.startTokens, this.#record?.used ?? [], {
      now: this.#parts.now(),
      endedBecause: this.#record?.ended?.reason,
    })
  }

  /** Whether the settings name a delegation that was not adopted yet. */
  #hasNewSettings(): boolean {
    const { delegation_id: id, renewal_secret: secret } = this.#parts.settings
    if (id === undefined || secret === undefined) return false
    return this.#record === undefined || !this.#record.used.includes(digestOf(secret))
  }

  async #adoptConfigured(): Promise<void> {
    const { delegation_id: id = '', renewal_secret: secret = '' } = this.#parts.settings
    const used = withDigest(this.#record?.used ?? [], digestOf(secret))
    this.#setRecord({ id, renewal_secret: secret, made_at: this.#parts.now(), used })
    await this.#save()
  }

  async #end(delegation: DelegationRecord, error: TtsError): Promise<void> {
    if (this.#record?.id !== delegation.id) return
    // A refused secret may mean that the service's database was restored from an old copy. It is not recorded as the
    // end unless a new token can take over.
    if (error.code !== 'delegation_ended') {
      if (!(await this.canStart())) throw error
    }
    this.#setRecord({
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

  #setRecord(record: DelegationRecord): void {
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
      const message = 'cannot write the delegation into the state; it is in memory only'
      this.#parts.log.error({ event: 'state.unwritten', err: error }, message)
    }
  }
}

const isEnd = (error: TtsError): boolean =>
  error.code === 'delegation_ended' ||
  (error.code === 'invalid_token' && error.check === 'renewal_secret')

/** An older service does not know the path; a newer one may have delegations disabled for this provider. */
function explainNotFound(error: unknown): never {
  if (!(error instanceof TtsError) || error.code !== 'not_found') throw error
  throw new TtsError(
    'not_found',
    'the service does not offer delegations for this identity provider',
    {
      check: 'delegations',
      remedy:
        'Ask the operator of the service to set providers.<id>.delegation. Without it, renewal lasts as long as the token is replaced in time.',
      cause: error,
    },
  )
}

function adviceOf(record: DelegationRecord | undefined): string {
  if (record === undefined) return 'There is no delegation yet.'
  if (record.ended !== undefined)
    return `Renewal ended at ${record.ended.at.toISOString()}. ${sourceEnded('').remedy ?? ''}`
  if (record.advice !== undefined) return record.advice
  return record.renews_until === undefined
    ? 'The service renews; the end is not known.'
    : `The service renews until ${record.renews_until.toISOString()}; supply a new token before then.`
}

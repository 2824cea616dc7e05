import type { Adapter, AdapterPayload } from 'oidc-provider'

interface Stored {
  readonly payload: AdapterPayload
  readonly endsAt: number
}

/** Maximum number of records of one kind; the oldest are removed. */
const MAX_RECORDS = 20_000

/**
 * Creates an in-memory store for one provider. The adapter of oidc-provider would share one store among all providers
 * in the process.
 */
export function createMemoryAdapter(): (model: string) => Adapter {
  const models = new Map<string, Map<string, Stored>>()
  return (model) => {
    const records = models.get(model) ?? new Map<string, Stored>()
    models.set(model, records)
    return new MemoryAdapter(records)
  }
}

class MemoryAdapter implements Adapter {
  readonly #records: Map<string, Stored>

  constructor(records: Map<string, Stored>) {
    this.#records = records
  }

  async upsert(id: string, payload: AdapterPayload, expiresIn?: number): Promise<void> {
    const endsAt = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000
    this.#records.set(id, { payload, endsAt })
    const oldest = this.#records.keys().next()
    if (this.#records.size > MAX_RECORDS && !oldest.done) this.#records.delete(oldest.value)
  }

  async find(id: string): Promise<AdapterPayload | undefined> {
    const stored = this.#records.get(id)
    return stored !== undefined && stored.endsAt > Date.now() ? stored.payload : undefined
  }

  async findByUid(uid: string): Promise<AdapterPayload | undefined> {
    return this.#first((payload) => payload.uid === uid)
  }

  async findByUserCode(userCode: string): Promise<AdapterPayload | undefined> {
    return this.#first((payload) => payload.userCode === userCode)
  }

  async consume(id: string): Promise<void> {
    const stored = this.#records.get(id)
    if (stored !== undefined) stored.payload.consumed = Math.floor(Date.now() / 1000)
  }

  async destroy(id: string): Promise<void> {
    this.#records.delete(id)
  }

  async revokeByGrantId(grantId: string): Promise<void> {
    for (const [id, { payload }] of this.#records) {
      if (payload.grantId === grantId) this.#records.delete(id)
    }
  }

  #first(matches: (payload: AdapterPayload) => boolean): AdapterPayload | undefined {
    for (const { payload, endsAt } of this.#records.values()) {
      if (endsAt > Date.now() && matches(payload)) return payload
    }
    return undefined
  }
}

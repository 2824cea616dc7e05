/** A custodian's work from beginning to end: opens the state, finds the provider, answers an access token. */
import * as oidc from 'openid-client'
import { configurationFor, discoverGrantConfiguration } from '../../grants/discovery.ts'
import { createGrantClient } from '../../grants/grant-client.ts'
import { type AccessToken, type CustodianTask, runCustodian } from './custodian.ts'
import type { ToldError } from '../../told-error.ts'
import { openState, type StatePlace } from '../state/open-state.ts'

/** All that a custodian needs; secrets among it. */
export interface CustodianOrder {
  readonly state: StatePlace
  readonly uid: number
  readonly client_secret: string | undefined
  readonly timeout_ms: number
  /** The provider's discovery document, when it is known already: one request less. */
  readonly metadata: object | undefined
  readonly task: CustodianTask
}

export interface CustodianResult {
  readonly access: AccessToken
  /** Undefined when the provider was not asked. */
  readonly metadata: object | undefined
}

/**
 * Does the work.
 *
 * @throws {TtsError} see `runCustodian`
 */
export async function doCustodianWork(
  order: CustodianOrder,
  now: () => Date,
): Promise<CustodianResult> {
  const { task, client_secret: clientSecret, timeout_ms: timeoutMs } = order
  const us = { clientId: task.client_id, clientSecret }
  const providerId = new URL(task.issuer).hostname
  let metadata = order.metadata
  const configuration = async (): Promise<oidc.Configuration> => {
    if (metadata !== undefined)
      return configurationFor(
        new oidc.Configuration(metadata as oidc.ServerMetadata, us.clientId),
        us,
      )
    const found = await discoverGrantConfiguration({
      ...us,
      issuer: task.issuer,
      providerId,
      timeoutMs,
    })
    metadata = { ...found.serverMetadata() }
    return found
  }
  const client = createGrantClient({ configuration, providerId, timeoutMs, now })
  const store = await openState(order.state, order.uid, false)
  try {
    return { access: await runCustodian({ store, client, now }, task), metadata }
  } finally {
    await store.close()
  }
}

/** What a custodian answers to its parent, as JSON. */
export type CustodianAnswer =
  | {
      readonly access: { readonly token: string; readonly expires_at: string }
      readonly metadata?: object | undefined
    }
  | { readonly error: ToldError }

/**
 * Ends the delegations that an earlier state of this certcache left at the service: a state directory that was emptied
 * or lost no longer knows them, and they would stay active until their refresh tokens expire.
 */
import { createHash } from 'node:crypto'
import type { Log } from '../../base/log.ts'
import type { ServiceClient, ServiceDelegation } from './service-client.ts'

/** The service accepts no longer label. */
const MAX_LABEL = 100

/** Where the state is. */
export interface StateName {
  readonly cluster: string
  /** Its directory, or its database, for people. */
  readonly statePlace: string
}

/**
 * Returns the label of this certcache's delegations. It names the state, so that another certcache of the same person,
 * on this machine or another one, has another label: delegations with the same label are ended.
 */
export function delegationLabel({ cluster, statePlace }: StateName, host: string): string {
  const start = `certcache ${cluster} on ${host}`
  const label = `${start} in ${statePlace}`
  if (label.length <= MAX_LABEL && !/\p{C}/u.test(label)) return label
  // Of the whole: the end of a long host name is cut off, which often has its number.
  const digest = createHash('sha256').update(label).digest('hex').slice(0, 16)
  const end = ` in ${digest}`
  return `${start.slice(0, MAX_LABEL - end.length)}${end}`
}

/** What is needed to end earlier delegations. */
export interface EarlierDelegations {
  readonly service: ServiceClient
  readonly log: Log
  /** The access token with which the new delegation was created. */
  readonly token: string
  readonly label: string
  /** The new delegation, which must be in the state already. */
  readonly created: ServiceDelegation
  readonly signal: AbortSignal
}

/**
 * Revokes the active delegations with the same label, of the same person and the same client. Never fails: they are
 * only leftovers.
 */
export async function endEarlierDelegations(options: EarlierDelegations): Promise<void> {
  const { service, log, token, label, created, signal } = options
  try {
    const all = await service.listDelegations(token, signal)
    const earlier = all.filter(
      ({ id, state, label: other, clientId }) =>
        id !== created.id && state === 'active' && other === label && clientId === created.clientId,
    )
    for (const { id } of earlier) {
      await service.revokeDelegation(token, id, signal)
      log.info(
        { event: 'delegation.replaced', delegation: id, by: created.id },
        'ended the delegation of an earlier state of this certcache',
      )
    }
  } catch (error) {
    log.warn(
      { event: 'delegation.not-replaced', err: error },
      'cannot end earlier delegations of this certcache; they end when they are not used',
    )
  }
}

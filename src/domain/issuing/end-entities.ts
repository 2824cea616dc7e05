/**
 * The EECs that the service holds to sign proxies. Each identity has one key, stored encrypted for the life of the
 * EEC and decrypted in memory while it is used.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import type { Authority } from '../../../ca/authority.ts'
import { fingerprint, readCertificate } from '../../../ca/certificate.ts'
import { type EndEntityProfile, issueEndEntity } from '../../../ca/end-entity.ts'
import { createSigner, type KeyKind } from '../../../ca/key.ts'
import { sameName } from '../../../ca/name.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import { createRecentValues } from '../../base/recent-values.ts'
import type { CachedEndEntity } from '../../signing/proxy-job.ts'
import { END_ENTITY_SERIAL_BYTES, serialFrom } from '../../../ca/serial.ts'
import { verifyIssued } from '../../../ca/signature.ts'
import { nestedValidity } from '../../../ca/validity.ts'
import type { KeyPool } from './key-pool.ts'
import type { HeldEndEntity, Identity, Origin } from '../records.ts'
import type { Store } from '../store.ts'
import { subjectUri } from './subject.ts'

export interface EndEntityDependencies {
  readonly store: Store
  readonly authority: Authority
  readonly keyPool: KeyPool
  readonly now: () => Date
  readonly randomBytes: (size: number) => Buffer
  readonly keyKind: KeyKind
  readonly lifetimeSeconds: number
  readonly profile: EndEntityProfile
  readonly withSubjectUri: boolean
}

export interface EndEntityCache {
  /**
   * Returns the identity's EEC that is valid for at least `lifetimeSeconds` (or until the CA ends); makes one if
   * necessary.
   *
   * @throws {TtsError} `store_unavailable`, `overloaded`, `limit_reached`
   */
  hold(identity: Identity, lifetimeSeconds: number, origin: Origin): Promise<CachedEndEntity>
  /** The same if it is in memory, otherwise undefined. */
  remembered(identity: Identity, lifetimeSeconds: number): CachedEndEntity | undefined
  /** Drops the identity's EEC from memory, after a revocation. */
  forget(identityId: string): void
}

/** Number of identities whose keys are in memory; each takes a few KiB. */
const MAX_IN_MEMORY = 10_000

export function createEndEntityCache(dependencies: EndEntityDependencies): EndEntityCache {
  const { store, authority, now, keyKind } = dependencies
  const inMemory = createRecentValues<CachedEndEntity>(MAX_IN_MEMORY)
  const underWay = new Map<string, Promise<CachedEndEntity>>()

  /** Whether the EEC is valid long enough. A shorter life is accepted only when the CA itself ends earlier. */
  const lastsFor = (endEntity: CachedEndEntity, lifetimeSeconds: number): boolean => {
    const { notAfter } = endEntity.certificate.validity
    const requiredMs = now().getTime() + lifetimeSeconds * 1000
    return (
      notAfter.getTime() >= Math.min(requiredMs, authority.certificate.validity.notAfter.getTime())
    )
  }

  async function findOrMake(
    identity: Identity,
    lifetimeSeconds: number,
    origin: Origin,
  ): Promise<CachedEndEntity> {
    const held = await store.findHeldEndEntity(identity.id, now(), keyKind)
    const endEntity = held && openEndEntity(held)
    if (endEntity && issuedBy(endEntity, authority) && lastsFor(endEntity, lifetimeSeconds)) {
      return endEntity
    }
    return makeEndEntity(dependencies, { identity, origin })
  }

  const remembered = (identity: Identity, lifetimeSeconds: number): CachedEndEntity | undefined => {
    const found = inMemory.get(identity.id)
    return found && lastsFor(found, lifetimeSeconds) ? found : undefined
  }

  return {
    remembered,
    async hold(identity, lifetimeSeconds, origin) {
      const known = remembered(identity, lifetimeSeconds)
      if (known) return known
      const running = underWay.get(identity.id)
      if (running) {
        const endEntity = await running
        if (lastsFor(endEntity, lifetimeSeconds)) return endEntity
      }
      const started = findOrMake(identity, lifetimeSeconds, origin).finally(() =>
        underWay.delete(identity.id),
      )
      underWay.set(identity.id, started)
      const endEntity = await started
      inMemory.set(identity.id, endEntity)
      return endEntity
    },
    forget(identityId) {
      inMemory.delete(identityId)
    },
  }
}

/**
 * An EEC of a previous CA must not sign: its proxies would not verify. A CA renewed with the same key is the same CA
 * here.
 */
function issuedBy(endEntity: CachedEndEntity, { certificate }: Authority): boolean {
  const held = endEntity.certificate
  return sameName(held.issuer, certificate.subject) && verifyIssued(held, certificate)
}

function openEndEntity(held: HeldEndEntity): CachedEndEntity {
  const privateKey: KeyObject = createPrivateKey({
    key: held.privateKeyDer,
    format: 'der',
    type: 'pkcs8',
  })
  return {
    certificate: readCertificate(held.certificateDer),
    signer: createSigner(privateKey),
    privateKey,
  }
}

async function makeEndEntity(
  dependencies: EndEntityDependencies,
  { identity, origin }: { readonly identity: Identity; readonly origin: Origin },
): Promise<CachedEndEntity> {
  const { store, authority, keyPool, now, randomBytes, profile } = dependencies
  // Not the request's signal: the EEC serves all later requests of the identity, even if this one is cancelled.
  const { signal } = new AbortController()
  const claimant = { identityId: identity.id, signal }
  const privateKey = await keyPool.take(dependencies.keyKind, claimant)
  const signer = createSigner(privateKey)
  const at = now()
  const validity = nestedValidity(at, dependencies.lifetimeSeconds, authority.certificate.validity)
  const der = await issueEndEntity(authority, {
    subject: parseSlashDn(identity.subject),
    publicKey: signer.publicKey,
    validity,
    serial: serialFrom(randomBytes, END_ENTITY_SERIAL_BYTES),
    profile,
    ...(dependencies.withSubjectUri ? subjectUri(identity) : {}),
  })
  const certificate = readCertificate(der)
  const record = {
    serial: certificate.serial,
    kind: 'eec' as const,
    subject: identity.subject,
    issuerSerial: undefined,
    ...certificate.validity,
    fingerprint: fingerprint(der),
    keyKind: signer.publicKey.kind,
  }
  const privateKeyDer = privateKey.export({ type: 'pkcs8', format: 'der' })
  await store.recordEndEntity(
    identity.id,
    { certificate: record, certificateDer: der, privateKeyDer },
    {
      at,
      event: 'end-entity.issued',
      outcome: 'allowed',
      origin,
      issuer: identity.issuer,
      sub: identity.sub,
      serviceId: undefined,
      credentialId: undefined,
      code: undefined,
      check: undefined,
      detail: `serial ${certificate.serial}, ends ${validity.notAfter.toISOString()}`,
    },
  )
  privateKeyDer.fill(0)
  return { certificate, signer, privateKey }
}

/**
 * The tools that a plugin is handed: bound to one identity and one service, they keep to the service's lifetimes and
 * note every certificate that is made, for the record that is written before anything leaves.
 */
import type { Authority } from '../../ca/authority.ts'
import { fingerprint } from '../../ca/certificate.ts'
import { type EndEntityProfile, issueEndEntity } from '../../ca/end-entity.ts'
import type { PublicKey } from '../../ca/key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { issueProxy } from '../../ca/proxy.ts'
import {
  END_ENTITY_SERIAL_BYTES,
  PROXY_SERIAL_BYTES,
  serialDecimal,
  serialFrom,
} from '../../ca/serial.ts'
import { nestedValidity } from '../../ca/validity.ts'
import type { Workbench } from '../../plugins/plugin.ts'
import { TtsError } from '../errors.ts'
import type { EndEntityKeeper } from './end-entities.ts'
import type { KeyPool } from './key-pool.ts'
import type { CertificateRecord, Identity, Origin } from './records.ts'
import type { Service } from './service.ts'
import { subjectUri } from './subject.ts'

export interface WorkbenchDependencies {
  readonly authority: Authority
  readonly endEntities: EndEntityKeeper
  readonly keyPool: KeyPool
  readonly now: () => Date
  readonly randomBytes: (size: number) => Buffer
  readonly profile: EndEntityProfile
  readonly withSubjectUri: boolean
}

/** A workbench, and what was made on it. */
export interface BoundWorkbench extends Workbench {
  readonly made: readonly CertificateRecord[]
  /** Serial of the EEC under which everything stands that was made; undefined while nothing was. */
  readonly endEntitySerial: string | undefined
}

export function createWorkbench(
  dependencies: WorkbenchDependencies,
  grant: { readonly identity: Identity; readonly service: Service; readonly origin: Origin },
): BoundWorkbench {
  const { authority, endEntities, keyPool, now, randomBytes } = dependencies
  const { identity, service, origin } = grant
  const made: CertificateRecord[] = []
  let endEntitySerial: string | undefined
  // The chain of the file: intermediates, never the root, which relying parties must have from elsewhere.
  const intermediates =
    authority.chain.length > 0 ? [authority.certificate, ...authority.chain.slice(0, -1)] : []
  const above = intermediates.map(({ der }) => der)

  return {
    made,
    get endEntitySerial() {
      return endEntitySerial
    },
    privateKey: (kind) => keyPool.take(kind),
    async proxy({ publicKey, type, pathLength, lifetimeSeconds }) {
      const seconds = checkedLifetime(service, lifetimeSeconds)
      const endEntity = await endEntities.hold(identity, seconds, origin)
      const validity = nestedValidity(now(), seconds, endEntity.certificate.validity)
      const serial = serialFrom(randomBytes, PROXY_SERIAL_BYTES)
      const der = await issueProxy(endEntity, { type, pathLength, publicKey, validity, serial })
      endEntitySerial = endEntity.certificate.serial
      const subject = `${identity.subject}/CN=${serialDecimal(serial)}`
      const issuerSerial = endEntitySerial
      made.push({
        ...about(der, serial, publicKey),
        kind: 'proxy',
        subject,
        issuerSerial,
        ...validity,
      })
      return { der, chain: [endEntity.certificate.der, ...above], notAfter: validity.notAfter }
    },
    async endEntity({ publicKey, lifetimeSeconds }) {
      const seconds = checkedLifetime(service, lifetimeSeconds)
      const validity = nestedValidity(now(), seconds, authority.certificate.validity)
      const serial = serialFrom(randomBytes, END_ENTITY_SERIAL_BYTES)
      const der = await issueEndEntity(authority, {
        subject: parseSlashDn(identity.subject),
        publicKey,
        validity,
        serial,
        profile: dependencies.profile,
        ...(dependencies.withSubjectUri ? subjectUri(identity) : {}),
      })
      endEntitySerial = serial.toString('hex')
      const { subject } = identity
      made.push({
        ...about(der, serial, publicKey),
        kind: 'eec',
        subject,
        issuerSerial: undefined,
        ...validity,
      })
      return { der, chain: above, notAfter: validity.notAfter }
    },
  }
}

/** The lifetime asked for, within the service's bounds; too long is refused, so that nobody counts on days that are not there. */
function checkedLifetime(service: Service, lifetimeSeconds: number | undefined): number {
  const { defaultSeconds, maximumSeconds } = service.lifetimes
  if (lifetimeSeconds !== undefined && lifetimeSeconds > maximumSeconds) {
    throw new TtsError(
      'invalid_request',
      `lifetime_seconds: found ${lifetimeSeconds}; the service ${service.id} gives at most ${maximumSeconds}`,
      { check: 'lifetime', remedy: `services.${service.id}.maximum_lifetime_seconds` },
    )
  }
  return lifetimeSeconds ?? defaultSeconds
}

/** The part of a record that follows from the certificate as it was made, with no need to read it again. */
function about(
  der: Buffer,
  serial: Buffer,
  publicKey: PublicKey,
): Pick<CertificateRecord, 'serial' | 'fingerprint' | 'keyKind'> {
  return { serial: serial.toString('hex'), fingerprint: fingerprint(der), keyKind: publicKey.kind }
}

/**
 * The service's own host certificate: for its VOMS and MyProxy servers, and to sign VOMS attributes. Its key is kept
 * like that of a user's EEC, encrypted in the database, so that all replicas have the same.
 */
import { createPrivateKey, randomUUID } from 'node:crypto'
import type { Authority } from '../../ca/authority.ts'
import { type Certificate, fingerprint, readCertificate } from '../../ca/certificate.ts'
import { hostSubject, issueHostCertificate } from '../../ca/host-certificate.ts'
import { createSigner, generatePrivateKey, type Signer } from '../../ca/key.ts'
import { type DistinguishedName, sameName } from '../../ca/name.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { END_ENTITY_SERIAL_BYTES, serialFrom } from '../../ca/serial.ts'
import { verifyIssued } from '../../ca/signature.ts'
import { comparableName } from '../../ca/subject-naming.ts'
import { nestedValidity } from '../../ca/validity.ts'
import { elapsedMs, type Moment, momentOf } from '../base/elapsed.ts'
import type { HeldEndEntity, Identity } from './records.ts'
import type { Store } from './store.ts'

export interface HostCertificateDependencies {
  readonly store: Pick<
    Store,
    'ensureIdentity' | 'findHeldEndEntity' | 'recordEndEntity' | 'recordCredential' | 'exclusively'
  >
  readonly authority: Authority
  readonly now: () => Date
  readonly randomBytes: (size: number) => Buffer
  /** The beginning of its name: that of users. */
  readonly base: DistinguishedName
  readonly host: string
  /** See `EndEntityProfile`. */
  readonly crlUrl: string | undefined
}

/** The certificate with its key. */
export interface HeldHostCertificate {
  readonly certificate: Certificate
  readonly signer: Signer
  /** PKCS#8 in PEM: secret. */
  readonly keyPem: string
}

export interface HostCertificate {
  /** Slash-DN. */
  readonly subject: string
  /** Returns the certificate; makes one when there is none, when it ends soon, or when it was revoked. */
  current(): Promise<HeldHostCertificate>
}

/** Identities of hosts have this issuer, which no provider can have: it is not a URL. */
export const HOST_ISSUER = 'host'
/** In place of a service in the records; no service can have this id. */
export const HOST_SERVICE = 'host certificate'

const KEY_KIND = 'rsa-2048'
const DAY_SECONDS = 86_400
const LIFETIME_SECONDS = 90 * DAY_SECONDS
/** The longest attributes live seven days, and must end before the certificate. */
const RENEWED_BEFORE_MS = 30 * DAY_SECONDS * 1000
/** After a revocation the next one is used within this time. */
const LOOK_AGAIN_MS = 60_000
const LOCK_WAIT_MS = 10_000

const origin = { requestId: 'host-certificate', address: 'local', interface: 'service' }

export function createHostCertificate(dependencies: HostCertificateDependencies): HostCertificate {
  const { base, host, now } = dependencies
  const subject = formatSlashDn(hostSubject(base, host))
  let held: { readonly at: Moment; readonly certificate: Promise<HeldHostCertificate> } | undefined
  return {
    subject,
    current() {
      if (held !== undefined && elapsedMs(held.at, now) < LOOK_AGAIN_MS) return held.certificate
      const looked = { at: momentOf(now), certificate: findOrMake(dependencies, subject) }
      held = looked
      looked.certificate.catch(() => {
        if (held === looked) held = undefined
      })
      return looked.certificate
    },
  }
}

async function findOrMake(
  dependencies: HostCertificateDependencies,
  subject: string,
): Promise<HeldHostCertificate> {
  const { store, host, now } = dependencies
  const candidate = { subject, comparable: comparableName(subject) }
  const identity = await store.ensureIdentity(
    { issuer: HOST_ISSUER, sub: host },
    [candidate],
    now(),
  )
  const found = await findGood(dependencies, identity)
  if (found !== undefined) return found
  return store.exclusively(
    'host-certificate',
    async () => (await findGood(dependencies, identity)) ?? makeOne(dependencies, identity),
    LOCK_WAIT_MS,
  )
}

async function findGood(
  { store, authority, now }: HostCertificateDependencies,
  identity: Identity,
): Promise<HeldHostCertificate | undefined> {
  const held = await store.findHeldEndEntity(identity.id, now(), KEY_KIND)
  if (held === undefined) return undefined
  const opened = openHeld(held)
  const { issuer, validity } = opened.certificate
  // The certificate of a former CA would not verify against the trust anchors of the current one for ever.
  const { certificate: own } = authority
  if (!sameName(issuer, own.subject) || !verifyIssued(opened.certificate, own)) return undefined
  const endMs = validity.notAfter.getTime()
  const lasts =
    endMs - now().getTime() >= RENEWED_BEFORE_MS || endMs === own.validity.notAfter.getTime()
  return lasts ? opened : undefined
}

function openHeld({ certificateDer, privateKeyDer }: HeldEndEntity): HeldHostCertificate {
  const privateKey = createPrivateKey({ key: privateKeyDer, format: 'der', type: 'pkcs8' })
  return {
    certificate: readCertificate(certificateDer),
    signer: createSigner(privateKey),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

async function makeOne(
  dependencies: HostCertificateDependencies,
  identity: Identity,
): Promise<HeldHostCertificate> {
  const { store, authority, now, randomBytes, base, host, crlUrl } = dependencies
  const privateKey = await generatePrivateKey(KEY_KIND)
  const { publicKey } = createSigner(privateKey)
  const at = now()
  const validity = nestedValidity(at, LIFETIME_SECONDS, authority.certificate.validity)
  const serial = serialFrom(randomBytes, END_ENTITY_SERIAL_BYTES)
  const certificateDer = await issueHostCertificate(authority, {
    base,
    host,
    publicKey,
    validity,
    serial,
    crlUrl,
  })
  const certificate = {
    serial: serial.toString('hex'),
    kind: 'eec' as const,
    subject: identity.subject,
    issuerSerial: undefined,
    ...validity,
    fingerprint: fingerprint(certificateDer),
    keyKind: publicKey.kind,
  }
  const privateKeyDer = privateKey.export({ type: 'pkcs8', format: 'der' })
  const held = { certificate, certificateDer, privateKeyDer }
  const line = auditLineOf(identity, at)
  await store.recordEndEntity(identity.id, held, {
    ...line,
    event: 'end-entity.issued',
    detail: `serial ${certificate.serial}, ends ${validity.notAfter.toISOString()}`,
  })
  // The credential makes it possible to find and revoke it like any other.
  const credentialId = randomUUID()
  await store.recordCredential(
    {
      id: credentialId,
      identityId: identity.id,
      serviceId: HOST_SERVICE,
      certificates: [],
      endEntitySerial: certificate.serial,
      sshSerial: undefined,
      pluginState: undefined,
      issuedAt: at,
      notAfter: validity.notAfter,
      clientId: undefined,
      origin,
      delegationId: undefined,
      renewedFrom: undefined,
      firstIssuedAt: undefined,
    },
    { ...line, event: 'credential.issued', serviceId: HOST_SERVICE, credentialId },
  )
  return openHeld(held)
}

function auditLineOf({ issuer, sub }: Identity, at: Date) {
  return {
    at,
    outcome: 'allowed' as const,
    origin,
    issuer,
    sub,
    serviceId: undefined,
    credentialId: undefined,
    code: undefined,
    check: undefined,
    detail: undefined,
  }
}

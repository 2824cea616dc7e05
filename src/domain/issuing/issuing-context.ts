/**
 * The issuing context of a plugin. It is bound to one identity and one service, enforces the service's lifetimes, and
 * collects the certificates that it makes, which are recorded before anything is answered.
 */
import type { Authority } from '../../../ca/authority.ts'
import { fingerprint } from '../../../ca/certificate.ts'
import { readCsr } from '../../../ca/csr.ts'
import {
  type EndEntityProfile,
  type EndEntityRequest,
  issueEndEntity,
} from '../../../ca/end-entity.ts'
import type { PublicKey } from '../../../ca/public-key.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import {
  END_ENTITY_SERIAL_BYTES,
  PROXY_SERIAL_BYTES,
  serialDecimal,
  serialFrom,
} from '../../../ca/serial.ts'
import { nestedValidity } from '../../../ca/validity.ts'
import type { SshAuthority } from '../../../ca/ssh/authority.ts'
import { issueSshUserCertificate } from '../../../ca/ssh/user-certificate.ts'
import { formatSshPublicKey } from '../../../ca/ssh/public-key.ts'
import type {
  MadeSshCertificate,
  PluginCaller,
  SubjectKey,
  IssuingContext,
} from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import { type CachedEndEntity, signProxy } from '../../signing/proxy-job.ts'
import type { SigningPool } from '../../signing/signing-pool.ts'
import type { EndEntityCache } from './end-entities.ts'
import type { KeyPool } from './key-pool.ts'
import type { CertificateRecord, Identity, Origin } from '../records.ts'
import type { Service } from './service.ts'
import { SSH_AUTHORITY_COMMENT } from './ssh.ts'
import { subjectUri } from './subject.ts'
import { vomsTools } from './voms-tools.ts'
import type { Attributes } from '../voms/attributes.ts'
import type { PresentedAttributes } from '../voms/presented.ts'
import type { Claims } from '../../tokens/claim-values.ts'

export interface IssuingDependencies {
  readonly authority: Authority
  readonly endEntities: EndEntityCache
  readonly keyPool: KeyPool
  readonly signingPool: SigningPool
  readonly now: () => Date
  readonly randomBytes: (size: number) => Buffer
  readonly profile: EndEntityProfile
  readonly withSubjectUri: boolean
  readonly attributes: Attributes
  /** Set when some service issues SSH certificates. */
  readonly sshAuthority: SshAuthority | undefined
}

/** An issuing context and the certificates made with it. */
export interface BoundIssuingContext extends IssuingContext {
  readonly made: readonly CertificateRecord[]
  /** Serial number of the EEC whose revocation invalidates what was made; undefined before anything is made. */
  readonly endEntitySerial: string | undefined
  /** Serial number of the SSH certificate, decimal; undefined before it is made. */
  readonly sshSerial: string | undefined
}

/** What an issuing context is bound to. */
export interface IssuingGrant {
  readonly identity: Identity
  readonly service: Service
  readonly origin: Origin
  readonly caller: PluginCaller
  /** The claims of the caller's token, or else the VOMS attributes in the proxy that the caller has shown. */
  readonly claims: Claims | undefined
  readonly presented: PresentedAttributes | undefined
  readonly credentialId: string
  readonly signal: AbortSignal
}

export function createIssuingContext(
  dependencies: IssuingDependencies,
  grant: IssuingGrant,
): BoundIssuingContext {
  const { authority, signingPool, now, randomBytes } = dependencies
  const { identity, service } = grant
  const ssh = sshTools(dependencies, service)
  const voms = vomsTools(dependencies, grant)
  const made: CertificateRecord[] = []
  let endEntitySerial: string | undefined
  const above = intermediates(authority)

  return {
    // Spread first: V8 adds properties that are spread after getters one by one, which is slow.
    ...fixedTools(dependencies, grant),
    made,
    get endEntitySerial() {
      return endEntitySerial
    },
    get sshSerial() {
      return ssh.made?.serial.toString()
    },
    sshCertificate: ssh.sshCertificate,
    attributes: voms.attributes,
    async proxy({ subjectKey, type, pathLength, lifetimeSeconds, attributes }) {
      const seconds = checkedLifetime(service, lifetimeSeconds)
      const endEntity = await holdEndEntity(dependencies, grant, { subjectKey, seconds })
      const validity = nestedValidity(now(), seconds, endEntity.certificate.validity)
      const serial = serialFrom(randomBytes, PROXY_SERIAL_BYTES)
      const certified = await voms.certify(attributes, endEntity, validity)
      const request = { type, pathLength, validity, serial, extensions: certified.extensions }
      const { der, ...signed } =
        'csr' in subjectKey
          ? await signingPool.proxy(endEntity, { ...request, csr: subjectKey.csr })
          : await signProxy(endEntity, { ...request, publicKey: subjectKey })
      endEntitySerial = endEntity.certificate.serial
      made.push({
        ...signed,
        ...proxyFacts(identity, serial),
        issuerSerial: endEntitySerial,
        ...validity,
      })
      const chain = [endEntity.certificate.der, ...above]
      const { notAfter } = validity
      return { der, chain, notAfter, keyKind: signed.keyKind, attributesEnd: certified.end }
    },
    async endEntity({ publicKey, lifetimeSeconds }) {
      const seconds = checkedLifetime(service, lifetimeSeconds)
      const validity = nestedValidity(now(), seconds, authority.certificate.validity)
      const serial = serialFrom(randomBytes, END_ENTITY_SERIAL_BYTES)
      const request = { publicKey, validity, serial }
      const der = await issueEndEntity(authority, endEntityRequest(dependencies, identity, request))
      endEntitySerial = serial.toString('hex')
      const { subject } = identity
      const facts = { ...certificateFacts(der, serial, publicKey), ...validity }
      made.push({ ...facts, kind: 'eec', subject, issuerSerial: undefined })
      return { der, chain: above, notAfter: validity.notAfter, keyKind: publicKey.kind }
    },
  }
}

function fixedTools(
  { authority, keyPool, randomBytes }: IssuingDependencies,
  { caller, credentialId, signal, identity }: IssuingGrant,
): Pick<
  IssuingContext,
  'caller' | 'credentialId' | 'signal' | 'randomBytes' | 'authorityChain' | 'privateKey'
> {
  return {
    caller,
    credentialId,
    signal,
    randomBytes,
    authorityChain: [authority.certificate, ...authority.chain].map(({ der }) => der),
    privateKey: (kind) => keyPool.take(kind, { identityId: identity.id, signal }),
  }
}

interface SshTools extends Pick<IssuingContext, 'sshCertificate'> {
  /** The SSH certificate, once it is made; there is one for each credential. */
  readonly made: MadeSshCertificate | undefined
}

function sshTools(
  { sshAuthority, now, randomBytes }: IssuingDependencies,
  service: Service,
): SshTools {
  let made: MadeSshCertificate | undefined
  return {
    get made() {
      return made
    },
    async sshCertificate({ lifetimeSeconds, ...request }) {
      if (sshAuthority === undefined || made !== undefined)
        throw new TtsError('internal', 'an SSH certificate cannot be made here')
      const seconds = checkedLifetime(service, lifetimeSeconds)
      const bounded = { ...request, lifetimeSeconds: seconds, now: now(), randomBytes }
      const { line, serial, notAfter } = await issueSshUserCertificate(sshAuthority, bounded)
      const authorityLine = formatSshPublicKey(sshAuthority.publicKey, SSH_AUTHORITY_COMMENT)
      made = { line, serial, notAfter, authorityLine }
      return made
    },
  }
}

function endEntityRequest(
  { profile, withSubjectUri }: IssuingDependencies,
  identity: Identity,
  request: Pick<EndEntityRequest, 'publicKey' | 'validity' | 'serial'>,
): EndEntityRequest {
  const subject = parseSlashDn(identity.subject)
  return { ...request, subject, profile, ...(withSubjectUri ? subjectUri(identity) : {}) }
}

/** RFC 3820 section 3.4: a proxy's subject is that of the EEC with one more CN. */
function proxyFacts(
  identity: Identity,
  serial: Buffer,
): Pick<CertificateRecord, 'serial' | 'kind' | 'subject'> {
  const subject = `${identity.subject}/CN=${serialDecimal(serial)}`
  return { serial: serial.toString('hex'), kind: 'proxy', subject }
}

/** Returns the chain for a proxy file, DER: without the root, which relying parties must get elsewhere. */
function intermediates({ certificate, chain }: Authority): readonly Buffer[] {
  if (chain.length === 0) return []
  return [certificate, ...chain.slice(0, -1)].map(({ der }) => der)
}

/** Returns the identity's EEC. Checks the CSR before it makes a new EEC, so that a bad CSR does not cost a key. */
async function holdEndEntity(
  { endEntities }: IssuingDependencies,
  { identity, origin }: IssuingGrant,
  request: { readonly subjectKey: SubjectKey; readonly seconds: number },
): Promise<CachedEndEntity> {
  const { subjectKey, seconds } = request
  const remembered = endEntities.remembered(identity, seconds)
  if (remembered) return remembered
  if ('csr' in subjectKey) await readCsr(Buffer.from(subjectKey.csr, 'latin1'))
  return endEntities.hold(identity, seconds, origin)
}

/**
 * Returns the requested lifetime or the default, in seconds. One that is too long is refused, not shortened: the
 * caller must not rely on a life that the credential does not have.
 */
function checkedLifetime(service: Service, lifetimeSeconds: number | undefined): number {
  if (service.lifetimes === undefined)
    throw new TtsError(
      'internal',
      `the plugin of the service ${service.id} does not make certificates`,
    )
  const { defaultSeconds, maximumSeconds } = service.lifetimes
  if (lifetimeSeconds !== undefined && lifetimeSeconds > maximumSeconds) {
    throw new TtsError(
      'invalid_request',
      `lifetime_seconds: found ${lifetimeSeconds}; the service ${service.id} gives at most ${maximumSeconds}`,
      {
        check: 'lifetime',
        remedy: `Raise services.${service.id}.maximum_lifetime_seconds if certificates may live longer.`,
      },
    )
  }
  return lifetimeSeconds ?? defaultSeconds
}

/** Returns the parts of a record that are known without parsing the certificate again. */
function certificateFacts(
  der: Buffer,
  serial: Buffer,
  publicKey: PublicKey,
): Pick<CertificateRecord, 'serial' | 'fingerprint' | 'keyKind'> {
  return { serial: serial.toString('hex'), fingerprint: fingerprint(der), keyKind: publicKey.kind }
}

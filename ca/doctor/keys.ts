/** Rules on keys and signature algorithms. */
import { sameName } from '../name.ts'
import { keyBelongsTo } from '../proxy-file.ts'
import {
  type DoctorContext,
  type DoctorRule,
  eachCertificate,
  eachOf,
  endEntityOf,
  nameOf,
  when,
} from './context.ts'
import { except, globus, globusTls, relyingParties, tls } from './relying-parties.ts'

/** 2047 bits still reach OpenSSL's security level 2. */
const MIN_RSA_BITS = 2047

/** Java's TLS refuses smaller keys. */
const MIN_JAVA_BITS = 1024

function withRsaKey(context: DoctorContext, isRefused: (bits: number) => boolean) {
  return eachCertificate(context, ({ facts: { key } }) =>
    key.family === 'RSA' && isRefused(key.bits)
      ? `has an RSA key of ${key.bits} bits, under 2048`
      : undefined,
  )
}

const newKeys = 'Replace it by one with an RSA key of at least 2048 bits.'

export const keyRules: readonly DoctorRule[] = [
  {
    id: 'key-rsa-too-small',
    severity: 'refuses',
    relyingParties: tls,
    check: (context) => [
      ...withRsaKey(context, (bits) => bits < MIN_RSA_BITS && bits >= MIN_JAVA_BITS),
      ...withRsaKey(context, (bits) => bits < MIN_JAVA_BITS).map((sentence) => ({
        sentence,
        relyingParties: [...tls, 'caNl-Java'] as const,
      })),
    ],
    remedy: newKeys,
  },
  {
    id: 'key-ec-proxy',
    severity: 'refuses',
    relyingParties: [...globusTls, 'XRootD'],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        facts.key.family === 'EC'
          ? 'has an EC key: Globus cannot delegate it, and XRootD encrypts with the proxy key, which must be RSA'
          : undefined,
      ),
    remedy: 'Request a proxy with an RSA key.',
  },
  {
    id: 'key-ec-end-entity',
    severity: 'refuses',
    relyingParties: globus,
    check: (context) =>
      eachOf('EEC', endEntityOf(context), ({ facts }) =>
        facts.key.family === 'EC'
          ? 'has an EC key: Globus has no signature algorithm to delegate with'
          : undefined,
      ),
    remedy: 'Use an EEC with an RSA key where Globus delegates.',
  },
  {
    id: 'key-families-mixed',
    severity: 'refuses',
    relyingParties: ['VOMS Java'],
    check: ({ endEntity, proxies }) =>
      when(
        endEntity !== undefined &&
          proxies.some(({ facts }) => facts.key.family !== endEntity.facts.key.family),
        'EEC and proxy have keys of different types, RSA and EC.',
      ),
    remedy: 'Use RSA keys for both.',
  },
  {
    id: 'key-ec-authority',
    severity: 'warns',
    relyingParties: ['Globus'],
    check: ({ authorities }) =>
      eachOf('CA', authorities, ({ facts }) =>
        facts.key.family === 'EC'
          ? 'has an EC key: grid-proxy-init cannot create a proxy from an EEC that this CA signed'
          : undefined,
      ),
    remedy: 'Use a CA with an RSA key.',
  },
  {
    id: 'key-missing',
    severity: 'refuses',
    relyingParties: except(relyingParties, 'VOMS'),
    check: ({ proxyFile }) =>
      when(proxyFile.privateKey === undefined, 'The file contains no private key.'),
    remedy: 'Put the private key of the proxy after the proxy, or request a new proxy.',
  },
  {
    id: 'key-of-another',
    severity: 'refuses',
    relyingParties: except(relyingParties, 'VOMS'),
    check: ({ proxyFile: { privateKey }, leaf }) =>
      when(
        privateKey !== undefined && !keyBelongsTo(privateKey, leaf.certificate),
        `The private key in the file is not that of ${nameOf(leaf)}.`,
      ),
    remedy: 'Request a new proxy, and write key and certificate of the same request into the file.',
  },
]

/** Rules on signature digests. */
export const digestRules: readonly DoctorRule[] = [
  {
    id: 'digest-weak',
    severity: 'refuses',
    relyingParties: tls,
    check: (context) =>
      eachCertificate(context, ({ certificate, facts: { signature } }) =>
        // No one verifies the signature that a root made on itself.
        (signature.digest === 'SHA-1' || signature.digest === 'MD5') &&
        !sameName(certificate.subject, certificate.issuer)
          ? `is signed with ${signature.digest}`
          : undefined,
      ),
    remedy: 'Have it signed with SHA-256 or better.',
  },
  {
    id: 'digest-pss-proxy',
    severity: 'refuses',
    relyingParties: globus,
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        facts.signature.scheme === 'RSA-PSS'
          ? 'is signed with RSA-PSS, from which Globus cannot derive a proxy'
          : undefined,
      ),
    remedy: 'Have the proxy signed with PKCS#1 v1.5 and SHA-256.',
  },
]

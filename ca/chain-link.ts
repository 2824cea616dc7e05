/** The types for validating chains: a link of a path, and the problems that it can have. */
import type { Certificate } from './certificate.ts'
import { type CertificateFacts, certificateFacts } from './certificate-facts.ts'
import { extensionOids } from './extensions.ts'

/** The problems of a chain. Decide on the code, never on the message. */
export type ChainProblemCode =
  // the path
  | 'empty_chain'
  | 'chain_too_long'
  | 'untrusted' // no anchor issued its last certificate
  // RFC 5280
  | 'bad_signature'
  | 'weak_key' // refused by the key policy before anything is computed with it
  | 'weak_digest'
  | 'not_yet_valid'
  | 'expired'
  | 'bad_version'
  | 'malformed_extension'
  | 'duplicate_extension'
  | 'unknown_critical_extension'
  | 'constraints_not_evaluated' // name or policy constraints
  | 'not_a_ca'
  | 'no_key_cert_sign'
  | 'path_length'
  // RFC 3820
  | 'proxy_not_allowed'
  | 'proxy_issuer_is_ca'
  | 'proxy_cert_info_not_critical'
  | 'proxy_policy_unknown'
  | 'proxy_policy_not_absent'
  | 'proxy_subject'
  | 'proxy_path_length'
  | 'proxy_key_usage'
  | 'proxy_issuer_key_usage'
  | 'proxy_alternative_name'
  | 'proxy_is_ca'
  | 'limited_signs_full'
  // revocation
  | 'crl_missing'
  | 'crl_bad_signature'
  | 'crl_issuer_key_usage'
  | 'crl_not_yet_valid'
  | 'crl_expired'
  | 'crl_unknown_critical_extension'
  | 'revoked'

/** One problem; `certificateIndex` is the index in the verdict's `path`, with the leaf at 0. */
export interface ChainProblem {
  readonly code: ChainProblemCode
  readonly certificateIndex: number
  readonly message: string
}

/** One certificate of a path with its facts. */
export interface Link {
  readonly certificate: Certificate
  readonly facts: CertificateFacts
  /** Whether it is a proxy: it has a ProxyCertInfo, readable or not. */
  readonly isProxy: boolean
}

/** Longest path, including leaf and root. */
export const MAX_CHAIN_LENGTH = 20

/** A certificate with its facts. */
export function readLink(certificate: Certificate): Link {
  const isProxy = certificate.extensions.some(({ oid }) => oid === extensionOids.proxyCertInfo)
  return { certificate, facts: certificateFacts(certificate), isProxy }
}

/** The relying parties whose rules the doctor knows, and groups of them that share code. */

/** Every relying party that the doctor knows. */
export const relyingParties = [
  'OpenSSL',
  'curl/https',
  'Globus',
  'GridFTP',
  'MyProxy',
  'VOMS',
  'VOMS Java',
  'XRootD',
  'XRootD https',
  'arcproxy',
  'ARC server',
  'GridSite',
  'caNl-C',
  'caNl-Java',
  'HTCondor',
  'glideinWMS',
  'davix',
  'JGlobus',
] as const
export type RelyingParty = (typeof relyingParties)[number]

/** Globus's own library, and software built on it. */
export const globus: readonly RelyingParty[] = ['Globus', 'GridFTP', 'MyProxy']

/** Those that use Globus's library in a TLS handshake, so that OpenSSL's security level applies. */
export const globusTls: readonly RelyingParty[] = ['GridFTP', 'MyProxy']

/** Those that verify with caNl-C, which forgives some of what OpenSSL finds. */
export const canlC: readonly RelyingParty[] = ['GridSite', 'caNl-C']

/** Those that verify with caNl-Java. */
export const java: readonly RelyingParty[] = ['caNl-Java', 'VOMS Java']

/** Those that let OpenSSL alone validate the chain. */
export const plainOpenssl: readonly RelyingParty[] = [
  'OpenSSL',
  'curl/https',
  'XRootD https',
  'ARC server',
  'HTCondor',
]

/** Those in which OpenSSL validates the chain, caNl-C included. */
export const openssl: readonly RelyingParty[] = [...plainOpenssl, ...canlC]

/** Those that see the chain in a TLS handshake of OpenSSL, at its security level. */
export const tls: readonly RelyingParty[] = [...openssl, ...globusTls]

/** Those whose C code reads files with OpenSSL's PEM reader and finds CAs by hash and number. */
export const opensslFiles: readonly RelyingParty[] = [...openssl, ...globus]

/** Those that implement most of RFC 5280. XRootD's root:// has its own code, which checks less. */
export const strict: readonly RelyingParty[] = [...openssl, ...globus, ...java]

/** All that validate chains, with whatever code. */
export const validating: readonly RelyingParty[] = [...strict, 'XRootD']

/** Those that ask of a site to have CRLs of all CAs once it has one. */
export const crlRequiring: readonly RelyingParty[] = ['OpenSSL', 'GridSite']

/** All but those named. */
export function except(
  parties: readonly RelyingParty[],
  ...excepted: readonly RelyingParty[]
): readonly RelyingParty[] {
  return parties.filter((party) => !excepted.includes(party))
}

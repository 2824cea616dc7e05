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
] as const
export type RelyingParty = (typeof relyingParties)[number]

/** Globus's own library, and software built on it. */
export const globus: readonly RelyingParty[] = ['Globus', 'GridFTP', 'MyProxy']

/** Those that let OpenSSL alone validate the chain. */
export const openssl: readonly RelyingParty[] = [
  'OpenSSL',
  'curl/https',
  'XRootD https',
  'ARC server',
  'GridSite',
  'caNl-C',
  'HTCondor',
]

/** Those that see the chain in a TLS handshake of OpenSSL, at its security level. */
export const tls: readonly RelyingParty[] = [...openssl, 'GridFTP', 'MyProxy']

/** Those that implement all of RFC 5280. XRootD's root:// has its own code, which checks less. */
export const strict: readonly RelyingParty[] = [...openssl, ...globus, 'VOMS Java', 'caNl-Java']

/** All that validate chains, with whatever code. */
export const validating: readonly RelyingParty[] = [...strict, 'XRootD']

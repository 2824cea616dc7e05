/** The relying parties whose rules the doctor knows, and groups of them that share code. */

/** Every relying party that the doctor speaks for. */
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

/** Globus's own library and what is made of it. */
export const globus: readonly RelyingParty[] = ['Globus', 'GridFTP', 'MyProxy']

/** Those that leave the chain to OpenSSL alone. */
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

/** Those that go by RFC 5280 in all things. XRootD's root:// has code of its own, which looks at less. */
export const strict: readonly RelyingParty[] = [...openssl, ...globus, 'VOMS Java', 'caNl-Java']

/** Those that verify chains at all, by whatever code. */
export const validating: readonly RelyingParty[] = [...strict, 'XRootD']

/** Object identifiers of VOMS attribute certificates (GFD.182 section 4, RFC 5755 section 4.3). */
export const vomsOids = {
  /** In a proxy: the attribute certificates. */
  attributeCertificates: '1.3.6.1.4.1.8005.100.100.5',
  /** In an attribute certificate: the attribute with the FQANs. */
  fqans: '1.3.6.1.4.1.8005.100.100.4',
  /** In an attribute certificate: the certificate of its issuer, and those above. */
  issuerCertificates: '1.3.6.1.4.1.8005.100.100.10',
  noRevocation: '2.5.29.56',
  targets: '2.5.29.55',
} as const

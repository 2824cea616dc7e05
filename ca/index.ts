/**
 * The public API of the library. Code of this repository imports the single files instead, to load only what it uses
 * (see README.md).
 */

export { CaError, type CaErrorCode, type CaErrorDetails, type CaErrorReason } from './errors.ts'

// Keys
export {
  createSigner,
  generatePrivateKey,
  type KeyKind,
  keyKinds,
  type SignatureAlgorithm,
  type Signer,
  type SigningKey,
  type SigningPlace,
} from './key.ts'
export { importPublicKey, type PublicKey } from './public-key.ts'
export { decryptPrivateKey, encryptPrivateKey } from './private-key.ts'

// Names, serial numbers, times
export type { DistinguishedName, NameAttribute, Rdn } from './name.ts'
export { formatRfc4514, formatSlashDn, parseRfc4514, parseSlashDn } from './name-text.ts'
export { END_ENTITY_SERIAL_BYTES, PROXY_SERIAL_BYTES, serialFrom } from './serial.ts'
export { nestedValidity } from './validity.ts'

// Issuing
export {
  type Authority,
  createRootCertificate,
  openAuthority,
  readCertificatesPem,
  type RootRequest,
} from './authority.ts'
export { createCsr, readCsr, readCsrSubject } from './csr.ts'
export { type EndEntityProfile, type EndEntityRequest, issueEndEntity } from './end-entity.ts'
export { type HostRequest, issueHostCertificate } from './host-certificate.ts'
export { type EndEntity, issueProxy, type ProxyRequest } from './proxy.ts'
export type { ProxyType } from './extensions.ts'
export type { FurtherExtension } from './further-extensions.ts'
export { createCrl, type CrlRequest, encodeCrlEntries, readCrl, signCrlAgain } from './crl.ts'
export type { Crl, CrlEntry, CrlOutline } from './crl.ts'
export { type RevocationReason, revocationReasons } from './crl-entries.ts'
export { trustAnchorFiles } from './trust-anchors.ts'
export type { TrustAnchorFile, TrustAnchorRequest } from './trust-anchors.ts'

// VOMS
export { type Fqan, formatFqan, formatLongFqan, parseFqan } from './voms/fqan.ts'
export { attributesExtension, issueAttributeCertificate } from './voms/attribute-certificate.ts'
export type {
  AttributeAuthority,
  AttributeRequest,
  VomsServer,
} from './voms/attribute-certificate.ts'
export { attributeCertificatesOf, readAttributeCertificate } from './voms/read-attributes.ts'
export type { AttributeCertificate } from './voms/read-attributes.ts'

// Reading and validating
export type { Asn1Node } from './asn1.ts'
export { findExtension, fingerprint, readCertificate } from './certificate.ts'
export type { Certificate, CertificateExtension, Validity } from './certificate.ts'
export { type PemBlock, readPem, toPem } from './pem.ts'
export { formatProxyFile, parseProxyFile } from './proxy-file.ts'
export type { FormattedKey, KeyFormat, ProxyFile } from './proxy-file.ts'
export { describeProxy, formatProxyInfo } from './proxy-info.ts'
export type { CertificateLifetime, ProxyFacts } from './proxy-info.ts'
export type { KeyFacts } from './certificate-facts.ts'
export { type ChainRequest, type ChainVerdict, validateChain } from './chain.ts'
export type { ChainProblem, ChainProblemCode } from './chain-link.ts'

// What relying parties refuse
export { examine, type Finding, formatFindings } from './doctor/examine.ts'
export type { Examination, FileFacts } from './doctor/context.ts'
export type { RelyingParty } from './doctor/relying-parties.ts'
export { readTrustAnchors } from './trust-directory.ts'
export type { DirectoryFile, HashedFile, TrustDirectory } from './trust-directory.ts'
export type { SigningPolicy, SigningPolicyBlock } from './signing-policy.ts'

// SSH
export { generateSshAuthorityKey, openSshAuthority } from './ssh/authority.ts'
export type { SshAuthority, SshAuthorityKeyKind } from './ssh/authority.ts'
export { readSshPublicKeyLine, type SshKeyType, type SshPublicKey } from './ssh/public-key.ts'
export { issueSshUserCertificate } from './ssh/user-certificate.ts'
export type { SshUserCertificate, SshUserRequest } from './ssh/user-certificate.ts'
export type { SshCertificateRequest, SshExtension } from './ssh/certificate.ts'
export { createKrl, type Krl, type KrlRequest, readKrl } from './ssh/krl.ts'

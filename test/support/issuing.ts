/** An authority, EECs and proxies as the library makes them, for tests of what comes out. */
import { type Authority, createRootCertificate, openAuthority } from '../../ca/authority.ts'
import { type Certificate, readCertificate, type Validity } from '../../ca/certificate.ts'
import { type EndEntityRequest, issueEndEntity } from '../../ca/end-entity.ts'
import type { KeyKind } from '../../ca/key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { toPem } from '../../ca/pem.ts'
import { type EndEntity, issueProxy, type ProxyRequest } from '../../ca/proxy.ts'
import { nestedValidity } from '../../ca/validity.ts'
import { sharedKey, sharedSigner } from './keys.ts'

export const now = new Date('2026-11-23T12:00:00.000Z')
export const day = 86_400
export const authorityName = parseSlashDn('/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA')
export const userName = parseSlashDn('/C=EU/O=INDIGO/OU=TTS/CN=9e499e0e-ce25@iam')

/** A validity in seconds from now. */
export function validFor(begins: number, ends: number): Validity {
  const at = (seconds: number): Date => new Date(now.getTime() + seconds * 1000)
  return { notBefore: at(begins), notAfter: at(ends) }
}

/** A self-signed CA of 20 years. */
export async function makeAuthority(kind: KeyKind = 'rsa-3072'): Promise<Authority> {
  const privateKey = await sharedKey(kind, 'authority')
  const serial = Buffer.from('4a00000000000000000000000000000a', 'hex')
  const der = await createRootCertificate({
    subject: authorityName,
    privateKey,
    validity: validFor(-300, 7300 * day),
    serial,
  })
  return openAuthority(toPem('CERTIFICATE', der), privateKey)
}

/** A request for a good EEC. */
export async function endEntityRequest(kind: KeyKind = 'rsa-2048'): Promise<EndEntityRequest> {
  return {
    subject: userName,
    publicKey: (await sharedSigner(kind, 'user')).publicKey,
    validity: validFor(-300, 11 * day),
    serial: Buffer.from('40112233445566778899aabbccddeeff', 'hex'),
    profile: { crlUrl: undefined, policyOids: [] },
  }
}

/** A good EEC. */
export async function makeEndEntity(
  authority: Authority,
  kind: KeyKind = 'rsa-2048',
): Promise<EndEntity> {
  const der = await issueEndEntity(authority, await endEntityRequest(kind))
  return { certificate: readCertificate(der), signer: await sharedSigner(kind, 'user') }
}

/** A request for a good proxy of 12 hours. */
export async function proxyRequest(
  endEntity: EndEntity,
  kind: KeyKind = 'rsa-2048',
): Promise<ProxyRequest> {
  return {
    type: 'impersonation',
    pathLength: undefined,
    publicKey: (await sharedSigner(kind, 'proxy')).publicKey,
    validity: nestedValidity(now, 43_200, endEntity.certificate.validity),
    serial: Buffer.from('40ffffffffffffffff', 'hex'),
  }
}

/** A good proxy. */
export async function makeProxy(
  endEntity: EndEntity,
  kind: KeyKind = 'rsa-2048',
): Promise<Certificate> {
  return readCertificate(await issueProxy(endEntity, await proxyRequest(endEntity, kind)))
}

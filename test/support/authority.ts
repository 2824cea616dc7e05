/** A CA, an EEC and a proxy made by the library itself, with keys that are made once per test file. */
import type { KeyObject } from 'node:crypto'
import { type Authority, createRootCertificate, openAuthority } from '../../ca/authority.ts'
import { type Certificate, readCertificate } from '../../ca/certificate.ts'
import { issueEndEntity } from '../../ca/end-entity.ts'
import type { ProxyType } from '../../ca/extensions.ts'
import { createSigner } from '../../ca/key.ts'
import type { DistinguishedName } from '../../ca/name.ts'
import { toPem } from '../../ca/pem.ts'
import { issueProxy } from '../../ca/proxy.ts'
import { formatProxyFile } from '../../ca/proxy-file.ts'
import { nestedValidity } from '../../ca/validity.ts'
import { vomsExtension, type VomsPlan } from './voms.ts'
import { authorityName, buildChain, NOW, testKey, userName } from './certificate-builder.ts'

const DAY_SECONDS = 86_400

export interface AuthorityOptions {
  readonly now?: Date
  /** An intermediate CA, under a root that is not ours. */
  readonly intermediate?: boolean
}

/** Makes and opens a CA, a root by default. */
export async function makeAuthority(options: AuthorityOptions = {}): Promise<Authority> {
  const { now = NOW, intermediate = false } = options
  if (intermediate) {
    const chain = await buildChain({ now, intermediate: {}, proxies: [] })
    const own = chain.intermediate ?? chain.authority
    const pem = [own, chain.authority].map((one) => toPem('CERTIFICATE', one.certificate.der))
    return openAuthority(pem.join(''), own.privateKey)
  }
  const privateKey = await testKey('library CA')
  const lifetime = 7300 * DAY_SECONDS * 1000
  const validity = {
    notBefore: new Date(now.getTime() - 300_000),
    notAfter: new Date(now.getTime() + lifetime),
  }
  const serial = Buffer.from('4a01', 'hex')
  const der = await createRootCertificate({ subject: authorityName, privateKey, validity, serial })
  return openAuthority(toPem('CERTIFICATE', der), privateKey)
}

export interface CredentialOptions extends AuthorityOptions {
  readonly authority?: Authority
  readonly subject?: DistinguishedName
  readonly type?: ProxyType
  readonly endEntityKey?: 'rsa-2048' | 'ec-p256'
  /** FQANs that an attribute authority of the same CA certifies in the proxy. */
  readonly voms?: VomsPlan
}

export interface IssuedCredential {
  readonly authority: Authority
  readonly endEntity: Certificate
  readonly endEntityKey: KeyObject
  readonly proxy: Certificate
  readonly proxyKey: KeyObject
  /** The proxy file. */
  readonly text: string
}

/** Issues an EEC and a proxy as the service does. */
export async function makeCredential(options: CredentialOptions = {}): Promise<IssuedCredential> {
  const { now = NOW, subject = userName, type = 'impersonation' } = options
  const authority = options.authority ?? (await makeAuthority(options))
  const endEntityKey = await testKey('library EEC', options.endEntityKey)
  const proxyKey = await testKey('library proxy')
  const signer = createSigner(endEntityKey)
  const { voms } = options
  const endEntity = readCertificate(
    await issueEndEntity(authority, {
      subject,
      publicKey: signer.publicKey,
      validity: nestedValidity(now, 11 * DAY_SECONDS, authority.certificate.validity),
      serial: Buffer.from('4b0123456789abcdef0123456789abcd', 'hex'),
      profile: { crlUrl: undefined, policyOids: [] },
    }),
  )
  const proxy = readCertificate(
    await issueProxy(
      { certificate: endEntity, signer },
      {
        type,
        pathLength: undefined,
        publicKey: createSigner(proxyKey).publicKey,
        validity: nestedValidity(now, 4 * DAY_SECONDS, endEntity.validity),
        serial: Buffer.from('4c0123456789abcdef', 'hex'),
        ...(voms && { extensions: [await vomsExtension(authority, endEntity, { now, ...voms })] }),
      },
    ),
  )
  const above = [endEntity, authority.certificate].slice(0, authority.chain.length > 0 ? 2 : 1)
  const text = formatProxyFile(
    proxy.der,
    proxyKey,
    above.map(({ der }) => der),
  )
  return { authority, endEntity, endEntityKey, proxy, proxyKey, text }
}

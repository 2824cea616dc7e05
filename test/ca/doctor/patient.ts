/** A credential with its trust directory, for the doctor: good, but for what a case says. */
import { createPrivateKey } from 'node:crypto'
import { createCrl, type CrlRequest } from '../../../ca/crl.ts'
import type { Examination, FileFacts } from '../../../ca/doctor/context.ts'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { trustAnchorFiles } from '../../../ca/trust-anchors.ts'
import { type DirectoryFile, readTrustAnchors } from '../../../ca/trust-directory.ts'
import {
  asAuthority,
  baseName,
  buildChain,
  type BuiltChain,
  type ChainPlan,
  NOW,
} from '../../support/certificate-builder.ts'

/** What shall be wrong with a patient. */
export interface Illness {
  readonly plan?: ChainPlan
  /** Text of the proxy file, made of the good one. */
  readonly text?: (chain: BuiltChain) => string
  readonly fileFacts?: Partial<FileFacts>
  /** Files of the trust directory, made of the good ones. */
  readonly files?: (files: readonly DirectoryFile[], chain: BuiltChain) => readonly DirectoryFile[]
  readonly crl?: (chain: BuiltChain) => Partial<CrlRequest>
  /** Builds the chain of which the trust directory is made, where it is another. */
  readonly trustPlan?: ChainPlan
}

export const DAY_MS = 86_400_000

/** PEM blocks of a text, in order. */
export function blocks(text: string): string[] {
  return text.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n/g) ?? []
}

export async function patient(illness: Illness = {}): Promise<Examination> {
  const chain = await buildChain(illness.plan)
  const trusted = illness.trustPlan ? await buildChain(illness.trustPlan) : chain
  const files = await trustFiles(trusted, illness.crl?.(chain) ?? {})
  const text = illness.text?.(chain) ?? chain.text
  return {
    proxyFile: parseProxyFile(text),
    fileFacts: { mode: 0o600, ownerUid: 1000, uid: 1000, text, ...illness.fileFacts },
    trustAnchors: readTrustAnchors(illness.files?.(files, chain) ?? files),
    now: NOW,
  }
}

/** CRLs are only made where the CA can sign them; a case that has none asks for a year long past. */
async function trustFiles(
  chain: BuiltChain,
  crl: Partial<CrlRequest>,
): Promise<readonly DirectoryFile[]> {
  const request = {
    number: 1,
    thisUpdate: new Date(NOW.getTime() - DAY_MS),
    nextUpdate: new Date(NOW.getTime() + 30 * DAY_MS),
    entries: [],
    ...crl,
  }
  const signing = [chain.intermediate, chain.authority].filter((built) => built !== undefined)
  const strong = signing.filter(({ privateKey }) => {
    const { modulusLength = 2048 } =
      createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })).asymmetricKeyDetails ??
      {}
    return modulusLength >= 2048
  })
  const crls = await Promise.all(strong.map((built) => createCrl(asAuthority(built), request)))
  const certificates = signing.map(({ certificate }) => certificate)
  const settings = { alias: 'tts', crlUrl: undefined, userNamespace: baseName }
  const sayable = certificates.every(({ subject }) =>
    subject.flat().every(({ value }) => /^[\w .-]+$/.test(String(value))),
  )
  if (!sayable) return unsayable(chain)
  const files = trustAnchorFiles({ ...settings, certificates, crls })
  const content = (name: string): string => {
    const file = files.find((one) => one.name === name)
    return file === undefined ? '' : 'linkTo' in file ? content(file.linkTo) : file.content
  }
  return files.map(({ name }) => ({ name, content: Buffer.from(content(name)) }))
}

/** The directory of a CA whose name we would not write: the certificate and a policy for all. */
async function unsayable(chain: BuiltChain): Promise<readonly DirectoryFile[]> {
  const { subjectHash, subjectHashOld } = await import('../../../ca/name-hash.ts')
  const { formatSlashDn } = await import('../../../ca/name-text.ts')
  const { toPem } = await import('../../../ca/pem.ts')
  const { subject, subjectNode, der } = chain.authority.certificate
  const policy = `access_id_CA X509 '${formatSlashDn(subject)}'\npos_rights globus CA:sign\ncond_subjects globus '"*"'\n`
  return [subjectHash(subjectNode), subjectHashOld(subjectNode)].flatMap((hash) => [
    { name: `${hash}.0`, content: Buffer.from(toPem('CERTIFICATE', der)) },
    { name: `${hash}.signing_policy`, content: Buffer.from(policy) },
  ])
}

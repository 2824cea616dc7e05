/** A credential with its trust directory, for the doctor: good, but for what a case says. */
import { createCrl, type CrlRequest } from '../../../ca/crl.ts'
import type { Examination, FileFacts } from '../../../ca/doctor/context.ts'
import { subjectHash, subjectHashOld } from '../../../ca/name-hash.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import { toPem } from '../../../ca/pem.ts'
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
}

export const DAY_MS = 86_400_000

/** PEM blocks of a text, in order. */
export function blocks(text: string): string[] {
  return text.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n/g) ?? []
}

/** The files of a patient, and what the doctor is given of them. */
export interface Patient {
  readonly text: string
  readonly files: readonly DirectoryFile[]
  readonly examination: Examination
}

export async function makePatient(illness: Illness = {}): Promise<Patient> {
  const now = illness.plan?.now ?? NOW
  const chain = await buildChain(illness.plan)
  const good = await trustFiles(chain, { now, ...illness.crl?.(chain) })
  const text = illness.text?.(chain) ?? chain.text
  const files = illness.files?.(good, chain) ?? good
  const examination = {
    proxyFile: parseProxyFile(text),
    fileFacts: { mode: 0o600, ownerUid: 1000, uid: 1000, text, ...illness.fileFacts },
    trustAnchors: readTrustAnchors(files),
    now,
  }
  return { text, files, examination }
}

export async function patient(illness: Illness = {}): Promise<Examination> {
  return (await makePatient(illness)).examination
}

async function trustFiles(
  chain: BuiltChain,
  { now, ...crl }: Partial<CrlRequest> & { readonly now: Date },
): Promise<readonly DirectoryFile[]> {
  const request = {
    number: 1,
    thisUpdate: new Date(now.getTime() - DAY_MS),
    nextUpdate: new Date(now.getTime() + 30 * DAY_MS),
    entries: [],
    ...crl,
  }
  const signing = [chain.intermediate, chain.authority].filter((built) => built !== undefined)
  const strong = signing.filter(
    // The library signs nothing with a weak key.
    ({ privateKey }) => (privateKey.asymmetricKeyDetails?.modulusLength ?? 2048) >= 2048,
  )
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
  const { subject, subjectNode, der } = chain.authority.certificate
  const policy = `access_id_CA X509 '${formatSlashDn(subject)}'\npos_rights globus CA:sign\ncond_subjects globus '"*"'\n`
  return [subjectHash(subjectNode), subjectHashOld(subjectNode)].flatMap((hash) => [
    { name: `${hash}.0`, content: Buffer.from(toPem('CERTIFICATE', der)) },
    { name: `${hash}.signing_policy`, content: Buffer.from(policy) },
  ])
}

/** A credential with its trust directory, for the doctor: good, but for what a case says. */
import { createCrl, type CrlRequest } from '../../../ca/crl.ts'
import type { Examination, FileFacts } from '../../../ca/doctor/context.ts'
import { subjectHash, subjectHashOld } from '../../../ca/name-hash.ts'
import { formatSlashDn } from '../../../ca/name-text.ts'
import { toPem } from '../../../ca/pem.ts'
import { CaError } from '../../../ca/errors.ts'
import { parseExaminedFile } from '../../../ca/doctor/file-lines.ts'
import type { ProxyFile } from '../../../ca/proxy-file.ts'
import { trustAnchorFiles } from '../../../ca/trust-anchors.ts'
import { type DirectoryFile, readTrustAnchors } from '../../../ca/trust-directory.ts'
import {
  asAuthority,
  baseName,
  buildChain,
  type Built,
  type BuiltChain,
  type ChainPlan,
  NOW,
  testKey,
} from '../../support/certificate-builder.ts'

/** What shall be wrong with a patient. */
export interface Illness {
  readonly plan?: ChainPlan | ((now: Date) => ChainPlan)
  /** Text of the proxy file, made of the good one. */
  readonly text?: (chain: BuiltChain) => string | Promise<string>
  readonly fileFacts?: Partial<FileFacts>
  /** Files of the trust directory, made of the good ones. */
  readonly files?: (
    files: readonly DirectoryFile[],
    chain: BuiltChain,
  ) => readonly DirectoryFile[] | Promise<readonly DirectoryFile[]>
  readonly crl?: (chain: BuiltChain, now: Date) => Partial<CrlRequest>
}

export const DAY_MS = 86_400_000

/** PEM blocks of a text, in order. */
export function blocks(text: string): string[] {
  return text.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----\n/g) ?? []
}

/** The files of a patient, and what the doctor is given of them. */
export interface Patient {
  readonly chain: BuiltChain
  readonly text: string
  readonly files: readonly DirectoryFile[]
  /** Undefined: our parser refuses the file. */
  readonly examination: Examination | undefined
}

export async function makePatient(illness: Illness = {}, now: Date = NOW): Promise<Patient> {
  const plan = typeof illness.plan === 'function' ? illness.plan(now) : illness.plan
  const chain = await buildChain({ now, ...plan })
  const good = await trustFiles(chain, { now, ...illness.crl?.(chain, now) })
  const text = (await illness.text?.(chain)) ?? chain.text
  const files = (await illness.files?.(good, chain)) ?? good
  const proxyFile = readable(text)
  const examination = proxyFile && {
    proxyFile,
    fileFacts: { mode: 0o600, ownerUid: 1000, uid: 1000, text, ...illness.fileFacts },
    trustAnchors: readTrustAnchors(files),
    now,
  }
  return { chain, text, files, examination }
}

export async function patient(illness: Illness = {}): Promise<Examination> {
  const { examination } = await makePatient(illness)
  if (examination === undefined) throw new TypeError('the proxy file cannot be read')
  return examination
}

function readable(text: string): ProxyFile | undefined {
  try {
    return parseExaminedFile(text)
  } catch (error) {
    if (error instanceof CaError) return undefined
    throw error
  }
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

/** The instant for which a chain was built. */
export const instantOf = ({ endEntity }: BuiltChain): Date =>
  new Date(endEntity.certificate.validity.notBefore.getTime() + 300_000)

/** A CA of the same name as the chain's, with another key. */
export async function makeNamesake(chain: BuiltChain): Promise<Built> {
  const { subject } = chain.authority.certificate
  const privateKey = await testKey('namesake')
  const built = await buildChain({ now: instantOf(chain), authority: { subject, privateKey } })
  return built.authority
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

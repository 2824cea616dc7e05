/** Changes to the files of a trust directory, for cases. */
import { sign } from 'node:crypto'
import {
  type Asn1Node,
  bitString,
  encode,
  explicit,
  sequence,
  smallInteger,
  time,
} from '../../../ca/asn1.ts'
import { childrenOf, decode } from '../../../ca/asn1-read.ts'
import { createCrl } from '../../../ca/crl.ts'
import { withCommonName } from '../../../ca/name.ts'
import { subjectHash, subjectHashOld } from '../../../ca/name-hash.ts'
import { readPem, toPem } from '../../../ca/pem.ts'
import type { DirectoryFile } from '../../../ca/trust-directory.ts'
import {
  asAuthority,
  baseName,
  type Built,
  type BuiltChain,
  buildChain,
  testKey,
} from '../../support/certificate-builder.ts'
import { DAY_MS, type Illness, instantOf, makeNamesake } from './patient.ts'

/** A case with all the rules that the doctor must name for it, refusing and warning ones, sorted. */
export interface OddCase extends Illness {
  readonly name: string
  readonly rules: readonly string[]
}

/** A UTF-8 byte order mark in a file that is read as bytes. */
export const BOM = '\u00ef\u00bb\u00bf'

export type FilesChange = NonNullable<Illness['files']>

/** File names without what follows the hash. */
export const hashesOf = ({ authority }: BuiltChain): readonly [string, string] => {
  const { subjectNode } = authority.certificate
  return [subjectHash(subjectNode), subjectHashOld(subjectNode)]
}

const isCrl = ({ name }: DirectoryFile): boolean => /\.r\d+$/.test(name)

export const edit =
  (suffix: string, change: (text: string) => string): FilesChange =>
  (files) =>
    files.map((file) =>
      file.name.endsWith(suffix)
        ? { ...file, content: Buffer.from(change(file.content.toString('latin1')), 'latin1') }
        : file,
    )

export const rename =
  (from: string, to: string): FilesChange =>
  (files) =>
    files.map((file) =>
      file.name.endsWith(from) ? { ...file, name: file.name.slice(0, -from.length) + to } : file,
    )

export const withoutCrls: FilesChange = (files) => files.filter((file) => !isCrl(file))

/** Removes the files of the root with this suffix, under the new, the old or both hashes. */
export const withoutFile =
  (suffix: string, which: 'new' | 'old' | 'both' = 'both'): FilesChange =>
  (files, chain) => {
    const [hash, oldHash] = hashesOf(chain)
    const names = [...(which === 'old' ? [] : [hash]), ...(which === 'new' ? [] : [oldHash])]
    return files.filter(({ name }) => !names.some((one) => name === one + suffix))
  }

export const all =
  (...changes: readonly FilesChange[]): FilesChange =>
  async (files, chain) => {
    let result = files
    for (const change of changes) result = await change(result, chain)
    return result
  }

export const add =
  (name: string, content: string): FilesChange =>
  (files) => [...files, { name, content: Buffer.from(content) }]

/** Writes one content under both hashes of the root. */
export const writeBoth =
  (suffix: string, make: (chain: BuiltChain) => string | Promise<string>): FilesChange =>
  async (files, chain) => {
    const content = Buffer.from(await make(chain), 'latin1')
    return [
      ...(await withoutFile(suffix)(files, chain)),
      ...hashesOf(chain).map((hash) => ({ name: hash + suffix, content })),
    ]
  }

export const pemToDer = (text: string): string =>
  (readPem(text, 'file')[0]?.der ?? Buffer.alloc(0)).toString('latin1')

export const pemOf = ({ certificate }: Built): string => toPem('CERTIFICATE', certificate.der)

export async function makeOtherAuthority(chain: BuiltChain): Promise<Built> {
  const privateKey = await testKey('other CA')
  const subject = withCommonName(baseName, 'Other CA')
  return (await buildChain({ now: instantOf(chain), authority: { subject, privateKey } })).authority
}

interface CrlOptions {
  /** Nine when undefined: older than the good CRL of the directory. */
  readonly beganDaysAgo?: number
  readonly endsInDays?: number
  readonly byNamesake?: true
  /** Revokes the EEC. */
  readonly revoke?: true
}

/** Returns a CRL of the root, in PEM. */
export async function makeCrl(chain: BuiltChain, options: CrlOptions = {}): Promise<string> {
  const authority = options.byNamesake ? await makeNamesake(chain) : chain.authority
  return toPem('X509 CRL', await createCrl(asAuthority(authority), requestCrl(chain, options)))
}

function requestCrl(chain: BuiltChain, { beganDaysAgo = 9, endsInDays = 30, revoke }: CrlOptions) {
  const now = instantOf(chain).getTime()
  const { serial } = chain.endEntity.certificate
  const revokedAt = new Date(now - DAY_MS)
  return {
    number: 7,
    thisUpdate: new Date(now - beganDaysAgo * DAY_MS),
    nextUpdate: new Date(now + endsInDays * DAY_MS),
    entries: revoke ? [{ serial, revokedAt, reason: 'keyCompromise' as const }] : [],
  }
}

/** Parts of a CRL that the library does not write. */
interface CrlExtras {
  /** Of the list, beside those that the library writes, or in place of them. */
  readonly extensions?: readonly Asn1Node[]
  readonly replace?: readonly Asn1Node[]
  /** Of one entry, for a certificate that is in no file. */
  readonly entryExtension?: Asn1Node
}

/** A CRL of the root with further extensions, signed again. */
export async function makeExtendedCrl(
  chain: BuiltChain,
  { extensions = [], replace, entryExtension }: CrlExtras,
): Promise<string> {
  const signed = await createCrl(asAuthority(chain.authority), requestCrl(chain, {}))
  const [body, algorithm] = childrenOf(decode(signed, 'CRL'), 'CRL')
  const fields = childrenOf(body, 'CRL')
  const own = childrenOf(childrenOf(fields.at(-1), 'CRL')[0], 'CRL')
  const begun = time(new Date(instantOf(chain).getTime() - DAY_MS))
  const entries = entryExtension && [
    sequence(sequence(smallInteger(99), begun, sequence(entryExtension))),
  ]
  const tbs = sequence(
    ...fields.slice(0, -1),
    ...(entries ?? []),
    explicit(0, sequence(...(replace ?? own), ...extensions)),
  )
  const signature = bitString(sign('sha256', encode(tbs), chain.authority.privateKey))
  return toPem('X509 CRL', encode(sequence(tbs, algorithm, signature)))
}

/** A CRL of a CA whose key is too small for the library: signed by a strong one, then again by its own. */
export async function makeWeakCrl(chain: BuiltChain): Promise<string> {
  const { certificate, privateKey } = chain.authority
  const strong = { certificate, privateKey: await testKey('other CA') }
  const signed = await createCrl(asAuthority(strong), requestCrl(chain, {}))
  const [body, algorithm] = childrenOf(decode(signed, 'CRL'), 'CRL')
  if (body === undefined || algorithm === undefined) throw new TypeError('a CRL has three parts')
  const own = sign('sha256', encode(body), privateKey)
  return toPem('X509 CRL', encode(sequence(body, algorithm, bitString(own))))
}

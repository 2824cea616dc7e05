/** The trust anchors that relying parties install; made again whenever the CRL changes. */
import type { Authority } from '../../../ca/authority.ts'
import type { DistinguishedName } from '../../../ca/name.ts'
import { type TrustAnchorFile, trustAnchorFiles } from '../../../ca/trust-anchors.ts'
import { packTrustAnchors } from '../../files/trust-anchor-archive.ts'
import { signCrlAgain } from '../../../ca/crl.ts'
import type { CrlRecord } from '../records.ts'
import type { CrlPublisher } from './crl-publisher.ts'

/** A CA that relying parties must trust beside the current one: the next one, or a former one. */
export interface OtherAuthority {
  readonly authority: Authority
  /** The first digits of the hash of its key: part of its paths and file names. */
  readonly shortId: string
  readonly role: 'next' | 'former'
}

export interface TrustAnchors {
  readonly authority: Authority
  /** The first digits of the hash of its key. */
  readonly shortId: string
  readonly others: readonly OtherAuthority[]
  /** The oldest of the former CAs. */
  readonly oldest: OtherAuthority | undefined
  readonly crls: Pick<CrlPublisher, 'current' | 'published'>
  /** Returns the published CRL under the key of another CA. @throws {TtsError} as `CrlPublisher.published` */
  crlOf(other: OtherAuthority): Promise<CrlRecord>
  /** Returns the files, with CRLs that contain every revocation. @throws {TtsError} as `CrlPublisher.current` */
  files(): Promise<readonly TrustAnchorFile[]>
  /**
   * Returns the function that makes something of the files with the published CRLs: once for each CRL, because
   * everybody may ask for it, and a CRL can have megabytes. It throws as `CrlPublisher.published`.
   */
  ofPublished<Value>(
    make: (files: readonly TrustAnchorFile[]) => Value | Promise<Value>,
  ): () => Promise<Value>
  /** Returns the files as one .tar.gz, with the published CRLs. @throws {TtsError} as `CrlPublisher.published` */
  archive(): Promise<Buffer>
}

export interface TrustAnchorOptions extends Pick<
  TrustAnchors,
  'authority' | 'shortId' | 'others' | 'oldest'
> {
  readonly crls: Pick<CrlPublisher, 'current' | 'published'>
  /** Base name of the files. */
  readonly alias: string
  /** Where the CRL of a CA is served; undefined: nowhere. @param shortId undefined: the current CA */
  readonly crlUrlOf: (shortId: string | undefined) => string | undefined
  readonly userNamespace: DistinguishedName
}

export function createTrustAnchors(options: TrustAnchorOptions): TrustAnchors {
  const { authority, shortId, others, oldest, crls, alias, crlUrlOf, userNamespace } = options
  const signAgain = createSignedAgain()

  async function filesWith(crl: CrlRecord): Promise<readonly TrustAnchorFile[]> {
    const own = anchorsOf(authority, { alias, crlUrl: crlUrlOf(undefined), crl: crl.der })
    const more = others.map(async (other) =>
      anchorsOf(other.authority, {
        alias: `${alias}-${other.shortId}`,
        crlUrl: crlUrlOf(other.shortId),
        crl: (await signAgain(other, crl)).der,
      }),
    )
    return [own, ...(await Promise.all(more))].flat()
  }

  const anchorsOf = (
    { certificate, chain }: Authority,
    named: { readonly alias: string; readonly crlUrl: string | undefined; readonly crl: Buffer },
  ): readonly TrustAnchorFile[] =>
    trustAnchorFiles({
      certificates: [certificate, ...chain],
      crls: [named.crl],
      alias: named.alias,
      crlUrl: named.crlUrl,
      userNamespace,
    })

  const ofPublished: TrustAnchors['ofPublished'] = (make) =>
    oncePerCrl(crls, async (crl) => make(await filesWith(crl)))
  return {
    authority,
    shortId,
    others,
    oldest,
    crls,
    crlOf: async (other) => signAgain(other, await crls.published()),
    files: async () => filesWith(await crls.current()),
    ofPublished,
    archive: ofPublished(packTrustAnchors),
  }
}

/** Returns the function that makes something of the published CRL once; again after a failure. */
export function oncePerCrl<Value>(
  crls: Pick<CrlPublisher, 'published'>,
  make: (crl: CrlRecord) => Promise<Value>,
): () => Promise<Value> {
  let latest: { readonly number: number; readonly value: Promise<Value> } | undefined
  return async () => {
    const crl = await crls.published()
    if (latest?.number === crl.number) return latest.value
    const made = { number: crl.number, value: make(crl) }
    latest = made
    made.value.catch(() => {
      if (latest === made) latest = undefined
    })
    return made.value
  }
}

/** Remembers the latest CRL of each other CA. */
function createSignedAgain(): (other: OtherAuthority, crl: CrlRecord) => Promise<CrlRecord> {
  const latest = new Map<string, { readonly number: number; readonly crl: Promise<CrlRecord> }>()
  return async ({ authority, shortId }, crl) => {
    const known = latest.get(shortId)
    if (known?.number === crl.number) return known.crl
    const made = signCrlAgain(authority, crl.der).then((der) => ({ ...crl, der }))
    latest.set(shortId, { number: crl.number, crl: made })
    made.catch(() => latest.delete(shortId))
    return made
  }
}

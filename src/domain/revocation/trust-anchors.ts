/** The trust anchors that relying parties install; made again whenever the CRL changes. */
import type { Authority } from '../../../ca/authority.ts'
import type { DistinguishedName } from '../../../ca/name.ts'
import { type TrustAnchorFile, trustAnchorFiles } from '../../../ca/trust-anchors.ts'
import { packTrustAnchors } from '../../files/trust-anchor-archive.ts'
import type { CrlPublisher } from './crl-publisher.ts'

export interface TrustAnchors {
  readonly authority: Authority
  readonly crls: Pick<CrlPublisher, 'current' | 'published'>
  /** Returns the files, with a CRL that contains every revocation. @throws {TtsError} as `CrlPublisher.current` */
  files(): Promise<readonly TrustAnchorFile[]>
  /** Returns the files as one .tar.gz, with the published CRL. @throws {TtsError} as `CrlPublisher.published` */
  archive(): Promise<Buffer>
}

export interface TrustAnchorOptions {
  readonly authority: Authority
  readonly crls: Pick<CrlPublisher, 'current' | 'published'>
  /** Base name of the files. */
  readonly alias: string
  readonly crlUrl: string | undefined
  readonly userNamespace: DistinguishedName
}

export function createTrustAnchors({
  authority,
  crls,
  ...names
}: TrustAnchorOptions): TrustAnchors {
  const certificates = [authority.certificate, ...authority.chain]
  let packed: { readonly number: number; readonly archive: Promise<Buffer> } | undefined
  const filesWith = (crl: Buffer): readonly TrustAnchorFile[] =>
    trustAnchorFiles({ certificates, crls: [crl], ...names })
  return {
    authority,
    crls,
    files: async () => filesWith((await crls.current()).der),
    async archive() {
      const { number, der } = await crls.published()
      if (packed?.number !== number) packed = { number, archive: packTrustAnchors(filesWith(der)) }
      return packed.archive
    },
  }
}

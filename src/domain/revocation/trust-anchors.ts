/** The trust anchors that relying parties install, made anew whenever the CRL changed. */
import type { Authority } from '../../../ca/authority.ts'
import type { DistinguishedName } from '../../../ca/name.ts'
import { type TrustAnchorFile, trustAnchorFiles } from '../../../ca/trust-anchors.ts'
import { packTrustAnchors } from '../../files/trust-anchor-archive.ts'
import type { CrlPublisher } from './crl-publisher.ts'

export interface TrustAnchors {
  readonly authority: Authority
  readonly crls: Pick<CrlPublisher, 'current' | 'published'>
  /** The files of the directory, with a CRL that carries every revocation. */
  files(): Promise<readonly TrustAnchorFile[]>
  /** The same as one .tar.gz, with the CRL that is published. */
  archive(): Promise<Buffer>
}

export interface TrustAnchorOptions {
  readonly authority: Authority
  readonly crls: Pick<CrlPublisher, 'current' | 'published'>
  /** Name of the files. */
  readonly alias: string
  readonly crlUrl: string | undefined
  readonly userNamespace: DistinguishedName
}

export function createTrustAnchors({
  authority,
  crls,
  ...about
}: TrustAnchorOptions): TrustAnchors {
  const certificates = [authority.certificate, ...authority.chain]
  let packed: { readonly number: number; readonly archive: Promise<Buffer> } | undefined
  const filesWith = (crl: Buffer): readonly TrustAnchorFile[] =>
    trustAnchorFiles({ certificates, crls: [crl], ...about })
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

/** Packs the trust anchors into one archive, which a site unpacks in its certificates directory. */
import { buffer } from 'node:stream/consumers'
import { createGzip } from 'node:zlib'
import { pack } from 'tar-stream'
import { MAX_CRL_BYTES } from '../../ca/crl.ts'
import type { TrustAnchorFile } from '../../ca/trust-anchors.ts'

/** Largest content of one CA: about 20 kB, plus its CRL in PEM under two names. */
export const MAX_AUTHORITY_BYTES = 3 * MAX_CRL_BYTES
/** The current CA, the next one and former ones. More of them may be there, but then not all with the longest CRL. */
export const MAX_LARGE_AUTHORITIES = 4

/**
 * Returns a .tar.gz of the files and links, in their order. The same files always give the same bytes: it has no
 * times and no owners or names of this machine.
 *
 * @throws {RangeError} the files have more than `contentLimitOf` them
 */
export async function packTrustAnchors(files: readonly TrustAnchorFile[]): Promise<Buffer> {
  const bytes = files.reduce(
    (sum, file) => sum + ('content' in file ? Buffer.byteLength(file.content) : 0),
    0,
  )
  const limit = contentLimitOf(files)
  if (bytes > limit) throw new RangeError(`the trust anchors have more than ${limit} bytes`)
  const archive = pack()
  const owner = { mtime: new Date(0), uid: 0, gid: 0, uname: 'root', gname: 'root' }
  for (const file of files) {
    if ('linkTo' in file) {
      archive.entry({
        ...owner,
        name: file.name,
        type: 'symlink',
        linkname: file.linkTo,
        mode: 0o777,
      })
    } else archive.entry({ ...owner, name: file.name, mode: 0o644 }, file.content)
  }
  archive.finalize()
  return buffer(archive.pipe(createGzip({ level: 9 })))
}

/** Returns how many bytes the files may have together: during a roll-over each CA has a CRL of its own. */
export function contentLimitOf(files: readonly TrustAnchorFile[]): number {
  const authorities = files.filter((file) => 'content' in file && file.name.endsWith('.pem')).length
  return Math.min(Math.max(authorities, 1), MAX_LARGE_AUTHORITIES) * MAX_AUTHORITY_BYTES
}

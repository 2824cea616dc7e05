/** Packs the trust anchors into one archive, which a site unpacks in its certificates directory. */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { pack } from 'tar-stream'
import { MAX_CRL_BYTES } from '../../ca/crl.ts'
import type { TrustAnchorFile } from '../../ca/trust-anchors.ts'

/** Largest total content: one CA has about 20 kB, plus its CRL in PEM under two names. */
export const MAX_ARCHIVE_CONTENT_BYTES = 3 * MAX_CRL_BYTES

const compress = promisify(gzip)

/**
 * Returns a .tar.gz of the files and links, in their order. The same files always give the same bytes: it has no
 * times and no owners or names of this machine.
 *
 * @throws {RangeError} the files have more than `MAX_ARCHIVE_CONTENT_BYTES`
 */
export async function packTrustAnchors(files: readonly TrustAnchorFile[]): Promise<Buffer> {
  const bytes = files.reduce(
    (sum, file) => sum + ('content' in file ? Buffer.byteLength(file.content) : 0),
    0,
  )
  if (bytes > MAX_ARCHIVE_CONTENT_BYTES)
    throw new RangeError(`the trust anchors have more than ${MAX_ARCHIVE_CONTENT_BYTES} bytes`)
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
  const parts: Buffer[] = []
  for await (const part of archive) parts.push(part as Buffer)
  return compress(Buffer.concat(parts), { level: 9 })
}

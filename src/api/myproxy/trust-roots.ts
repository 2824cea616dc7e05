/** The trust-anchor directory as MyProxy clients install it: files only, since the protocol has no links. */
import type { TrustAnchorFile } from '../../../ca/trust-anchors.ts'
import type { TrustAnchors } from '../../domain/revocation/trust-anchors.ts'
import { okResponse, type TrustRootFile } from './responses.ts'

/**
 * Returns the function that makes the response with all files. Everybody may ask, and a CRL can have megabytes, so it
 * is made once for each CRL.
 */
export function createTrustRoots({
  crls,
  files,
}: Pick<TrustAnchors, 'crls' | 'files'>): () => Promise<Buffer> {
  let made: { readonly number: number; readonly response: Promise<Buffer> } | undefined
  return async () => {
    const { number } = await crls.published()
    if (made?.number === number) return made.response
    const next = { number, response: files().then((all) => okResponse(trustRootFiles(all))) }
    made = next
    next.response.catch(() => {
      if (made === next) made = undefined
    })
    return next.response
  }
}

/** Returns the files, with a copy for each link. */
function trustRootFiles(files: readonly TrustAnchorFile[]): readonly TrustRootFile[] {
  const contents = new Map<string, string>()
  for (const file of files) {
    // A link comes after its target.
    const content = 'content' in file ? file.content : contents.get(file.linkTo)
    if (content !== undefined) contents.set(file.name, content)
  }
  return [...contents].map(([name, content]) => ({ name, content }))
}

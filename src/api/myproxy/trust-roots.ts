/** The trust-anchor directory as MyProxy clients install it: files only, since the protocol has no links. */
import type { TrustAnchorFile } from '../../../ca/trust-anchors.ts'
import type { TrustRootFile } from './responses.ts'

/** Returns the files, with a copy for each link. */
export function trustRootFiles(files: readonly TrustAnchorFile[]): readonly TrustRootFile[] {
  const contents = new Map<string, string>()
  for (const file of files) {
    // A link comes after its target.
    const content = 'content' in file ? file.content : contents.get(file.linkTo)
    if (content !== undefined) contents.set(file.name, content)
  }
  return [...contents].map(([name, content]) => ({ name, content }))
}

/** Large answers that stay the same for all who ask, with an entity tag, so that who has one gets no second copy. */
import { createHash } from 'node:crypto'
import type { Response } from 'express'

/** Bytes with the tag by which caches ask whether they still are the newest (RFC 9110 section 8.8.3). */
export interface TaggedBytes {
  readonly bytes: Buffer
  readonly etag: string
}

/**
 * Bytes with their tag, and again the same ones as long as the value they are made of is the same object. The tag is a digest, so that
 * all replicas give the same one, also after a restart.
 */
export function taggedOnce<Value extends object>(
  bytesOf: (value: Value) => Buffer,
): (value: Value) => TaggedBytes {
  let last: { readonly value: Value; readonly tagged: TaggedBytes } | undefined
  return (value) => {
    if (last?.value !== value) last = { value, tagged: tag(bytesOf(value)) }
    return last.tagged
  }
}

function tag(bytes: Buffer): TaggedBytes {
  return { bytes, etag: `"${createHash('sha256').update(bytes).digest('base64url')}"` }
}

/**
 * Answers with the bytes, or with 304 to who has them. No Last-Modified: it counts in seconds, and who got the first of two lists of
 * one second would take it for the newest until a third is made.
 */
export function sendTagged(response: Response, { bytes, etag }: TaggedBytes): void {
  response.setHeader('Cache-Control', 'no-cache')
  response.setHeader('ETag', etag)
  response.send(bytes)
}

/**
 * Answers that are the same for all clients, with an entity tag, so that a client does not download an unchanged file
 * again.
 */
import { createHash } from 'node:crypto'
import type { Response } from 'express'

/** Bytes with their entity tag, by which a cache checks whether its copy is current (RFC 9110 section 8.8.3). */
export interface TaggedBytes {
  readonly bytes: Buffer
  readonly etag: string
}

/**
 * Returns a function that computes bytes and tag, and reuses them while its argument is the same object. The tag is a
 * digest, so it is the same on all replicas and after a restart.
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

/** The same for bytes that are computed in steps. After a failure they are computed again. */
export function taggedInSteps<Value extends object>(
  bytesOf: (value: Value) => Promise<Buffer>,
): (value: Value) => Promise<TaggedBytes> {
  let last: { readonly value: Value; readonly tagged: Promise<TaggedBytes> } | undefined
  return async (value) => {
    if (last?.value === value) return last.tagged
    const made = { value, tagged: bytesOf(value).then(tag) }
    last = made
    made.tagged.catch(() => {
      if (last === made) last = undefined
    })
    return made.tagged
  }
}

function tag(bytes: Buffer): TaggedBytes {
  return { bytes, etag: `"${createHash('sha256').update(bytes).digest('base64url')}"` }
}

/**
 * Sends the bytes, or 304 to a client that has them already. It sends no Last-Modified, because that counts in
 * seconds: of two lists made in the same second, a client with the first would not get the second.
 */
export function sendTagged(response: Response, { bytes, etag }: TaggedBytes): void {
  response.setHeader('Cache-Control', 'no-cache')
  response.setHeader('ETag', etag)
  response.send(bytes)
}

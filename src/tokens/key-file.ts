/**
 * The newest key set of one provider in a file, so that a start during an outage of the provider serves the users whose
 * keys are known. The keys are public; the file is private because whoever can write it decides which tokens are valid.
 */
import { dirname } from 'node:path'
import { z } from 'zod'
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import { makeDirectory } from '../files/directory.ts'
import { readPrivateFile, writePrivateFile } from '../files/private-file.ts'
import type { FetchedKeys, KeyStore } from './key-set.ts'
import { describeFailure } from './refusals.ts'

/** As many as the provider may send, and the fields around them. */
const MAX_BYTES = 512 * 1024

const content = z.strictObject({
  /** Without a trailing slash. */
  issuer: z.string(),
  /** Exactly as the provider publishes it: plugins identify users by it. */
  published_issuer: z.string(),
  jwks_uri: z.string(),
  fetched_at: z.iso.datetime(),
  keys: z.array(z.record(z.string(), z.unknown())),
})

export interface KeyFileOptions {
  readonly path: string
  /** Keys of another issuer, from before a change of the configuration, are not used. */
  readonly issuer: string
  /** Told why the file cannot be written. */
  readonly onFailure: (reason: string) => void
}

/** Returns the store; nothing is read or written yet. */
export function createKeyFile({ path, issuer, onFailure }: KeyFileOptions): KeyStore {
  const wanted = withoutTrailingSlash(issuer)
  return {
    async load(): Promise<FetchedKeys | undefined> {
      const read = await readPrivateFile(path, { maxBytes: MAX_BYTES })
        .then((bytes) => content.safeParse(JSON.parse(bytes.toString('utf8'))))
        .catch(() => undefined)
      if (read?.success !== true) return undefined
      const { jwks_uri: uri, published_issuer: published, keys } = read.data
      // Only a trailing slash may differ, as in the discovery document: plugins identify users by the published one.
      if (read.data.issuer !== wanted || withoutTrailingSlash(published) !== wanted)
        return undefined
      return {
        keys: { keys },
        uri,
        issuer: published,
        fetchedAt: new Date(read.data.fetched_at),
      }
    },
    async save({ keys, uri, issuer: published, fetchedAt }): Promise<void> {
      const text = {
        issuer: wanted,
        published_issuer: published,
        jwks_uri: uri,
        fetched_at: fetchedAt.toISOString(),
        keys: keys.keys,
      }
      try {
        await makeDirectory(dirname(path), 0o700)
        await writePrivateFile(path, `${JSON.stringify(text)}\n`)
      } catch (error) {
        onFailure(describeFailure(error))
      }
    },
  }
}

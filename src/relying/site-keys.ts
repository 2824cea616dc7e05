/** Loads the public keys of a relying service by https or from a file, and reloads them regularly. */
import { open } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type JWTVerifyOptions, type JWTVerifyResult } from 'jose'
import type { RelyingServiceSettings } from '../config/relying-schema.ts'
import { TtsError } from '../base/errors.ts'
import { fileErrorReason } from '../base/system-error.ts'
import { INPUT_FLAGS } from '../files/input-file.ts'
import { createKeySet } from '../tokens/key-set.ts'
import { createLimitedFetch, type Fetch } from '../tokens/limited-fetch.ts'
import { providerFault } from '../tokens/refusals.ts'

export interface SiteKeys {
  /**
   * Verifies a request.
   *
   * @throws jose's errors
   * @throws {TtsError} `provider_unavailable`, check `keys`
   */
  verify(text: string, options: JWTVerifyOptions): Promise<JWTVerifyResult>
  /** Loads the keys now. @throws {TtsError} `provider_unavailable`, check `keys` */
  refresh(): Promise<void>
  close(): void
}

const MAX_KEYS_BYTES = 256 * 1024
/** The interval of WaTTS. */
const REREAD_SECONDS = 900
/** Maximum age of keys that are used while the site does not answer. */
const MAXIMUM_AGE_SECONDS = 14_400
/** Minimum interval between reloads because of an unknown key. */
const COOLDOWN_SECONDS = 30

/** @param site.id of the relying service, for errors */
export function createSiteKeys(site: {
  readonly id: string
  readonly settings: Pick<RelyingServiceSettings, 'keys_location' | 'timeout_seconds'>
  readonly now: () => Date
  readonly fetch: Fetch
}): SiteKeys {
  const { id, settings, now } = site
  const location = settings.keys_location
  const limited = createLimitedFetch(site.fetch, {
    timeoutMs: settings.timeout_seconds * 1000,
    maxBodyBytes: MAX_KEYS_BYTES,
  })
  const keys = createKeySet({
    providerId: id,
    settings: {
      jwks_refresh_seconds: REREAD_SECONDS,
      jwks_maximum_age_seconds: MAXIMUM_AGE_SECONDS,
      jwks_cooldown_seconds: COOLDOWN_SECONDS,
    },
    fetch: location.startsWith('file:') ? readKeys : limited.fetch,
    now,
    published: () => ({ issuer: location, jwks_uri: location }),
  })
  return {
    verify: async (text, options) => {
      try {
        // Reload first, so that a key which the site has removed is not accepted after hours without requests.
        if (keys.usable() && keys.ageSeconds() > REREAD_SECONDS)
          await keys.refresh().catch(() => undefined)
        return await keys.verify(text, options)
      } catch (error) {
        if (!(error instanceof TtsError)) throw error
        // A request that no key of the site verifies is refused: it is too short-lived to be sent again later.
        throw error.check === 'key' ? error.cause : unavailable(id, error)
      }
    },
    refresh: () =>
      keys.refresh().catch((error: unknown) => {
        throw unavailable(id, error)
      }),
    close: () => limited.close(),
  }
}

/** Reads a file, and returns it like a fetched response. */
async function readKeys(url: string): Promise<Response> {
  const file = await open(fileURLToPath(url), INPUT_FLAGS).catch((error: unknown) => {
    throw providerFault(`the file with its keys cannot be opened: ${fileErrorReason(error)}`)
  })
  try {
    const { size } = await file.stat()
    if (size > MAX_KEYS_BYTES) throw providerFault('the file with its keys is too large')
    return new Response(await file.readFile())
  } finally {
    await file.close()
  }
}

function unavailable(id: string, error: unknown): TtsError {
  const why = error instanceof TtsError && error.cause instanceof Error ? error.cause.message : ''
  return new TtsError(
    'provider_unavailable',
    'the keys of the site that sent you are not available at the moment: try again later',
    {
      check: 'keys',
      retryAfterSeconds: 5,
      remedy: `Check relying_services.${id}.keys_location: ${why}.`,
      cause: error,
    },
  )
}

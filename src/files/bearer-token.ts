/** WLCG bearer token discovery: where a token lies on a machine. */
import { open } from 'node:fs/promises'
import { TtsError } from '../errors.ts'

/** A token, and where it was found (for messages; never log the token). */
export interface FoundToken {
  readonly token: string
  readonly source: string
}

/** Who looks for a token. */
export interface TokenSurroundings {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Numeric id of the user. */
  readonly uid: number
  /** Directory of the last place; `/tmp` but in tests. */
  readonly temporaryDirectory?: string
}

const MAX_TOKEN_FILE_BYTES = 64 * 1024

/**
 * Finds a bearer token as the WLCG document orders it: BEARER_TOKEN, the file named by BEARER_TOKEN_FILE,
 * $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID. A file that a variable names and that cannot be read is an error, no reason to go on.
 *
 * @throws {TtsError} `missing_token` naming all places, or the file that cannot be read
 */
export async function discoverBearerToken(surroundings: TokenSurroundings): Promise<FoundToken> {
  const { environment, uid, temporaryDirectory = '/tmp' } = surroundings
  const inEnvironment = environment['BEARER_TOKEN']?.trim()
  if (inEnvironment) return { token: inEnvironment, source: 'BEARER_TOKEN' }
  const named = environment['BEARER_TOKEN_FILE']?.trim()
  if (named) return { token: await readTokenFile(named), source: named }
  const runtimeDirectory = environment['XDG_RUNTIME_DIR']?.trim()
  const places = [...(runtimeDirectory ? [runtimeDirectory] : []), temporaryDirectory].map(
    (directory) => `${directory}/bt_u${uid}`,
  )
  for (const place of places) {
    const token = await readTokenFile(place).catch((error: unknown) => {
      if (error instanceof TtsError && error.check === 'no_token_file') return undefined
      throw error
    })
    if (token !== undefined) return { token, source: place }
  }
  throw new TtsError(
    'missing_token',
    `no access token was found; looked at BEARER_TOKEN, BEARER_TOKEN_FILE, ${places.join(', ')}`,
    {
      remedy:
        'get one, for example with oidc-token or htgettoken, or name its file with --token-file',
    },
  )
}

/**
 * Reads a token from a file, white space around it removed.
 *
 * @throws {TtsError} `missing_token`
 */
export async function readTokenFile(path: string): Promise<string> {
  const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    throw new TtsError(
      'missing_token',
      `the token file ${path} cannot be read: ${cause.code ?? 'error'}`,
      {
        cause,
        ...(cause.code === 'ENOENT' ? { check: 'no_token_file' } : {}),
      },
    )
  })
  try {
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(MAX_TOKEN_FILE_BYTES + 1),
      0,
      MAX_TOKEN_FILE_BYTES + 1,
      null,
    )
    const token = buffer.toString('utf8', 0, bytesRead).trim()
    if (bytesRead > MAX_TOKEN_FILE_BYTES || token === '' || /\s/.test(token)) {
      throw new TtsError('missing_token', `the token file ${path} does not hold exactly one token`)
    }
    return token
  } finally {
    await file.close()
  }
}

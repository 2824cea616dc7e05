/** WLCG Bearer Token Discovery: finds the user's token on this machine. */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { TtsError } from '../base/errors.ts'
import { refuseSharedSecret } from './private-file.ts'

/** A token, and where it was found (for messages; never log the token). */
export interface FoundToken {
  readonly token: string
  readonly source: string
}

/** The user and the environment for the discovery. */
export interface TokenRuntime {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Numeric id of the user. */
  readonly uid: number
  /** Directory that is searched last. Default `/tmp`; tests use another one. */
  readonly temporaryDirectory?: string
  /** Refuse a file that others can read, for programs that use a token for long. Default false. */
  readonly wantsPrivate?: boolean
}

const MAX_TOKEN_FILE_BYTES = 64 * 1024

/**
 * Finds a bearer token in the order of the WLCG specification: BEARER_TOKEN, the file named by BEARER_TOKEN_FILE,
 * $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID. A named file that cannot be read is an error and does not continue the
 * search.
 *
 * @throws {TtsError} `missing_token`, naming all searched places or the unreadable file; `configuration`, check
 * `file_mode`
 */
export async function discoverBearerToken(runtime: TokenRuntime): Promise<FoundToken> {
  const { environment, uid, temporaryDirectory = '/tmp', wantsPrivate = false } = runtime
  const inEnvironment = environment['BEARER_TOKEN']?.trim()
  if (inEnvironment) return { token: inEnvironment, source: 'BEARER_TOKEN' }
  const named = environment['BEARER_TOKEN_FILE']?.trim()
  if (named) return { token: await readTokenFile(named, { wantsPrivate }), source: named }
  const runtimeDirectory = environment['XDG_RUNTIME_DIR']?.trim()
  const places = [...(runtimeDirectory ? [runtimeDirectory] : []), temporaryDirectory].map(
    (directory) => `${directory}/bt_u${uid}`,
  )
  for (const place of places) {
    const token = await readOwnTokenFile(place, { uid, wantsPrivate })
    if (token !== undefined) return { token, source: place }
  }
  throw new TtsError(
    'missing_token',
    `no access token found in BEARER_TOKEN, BEARER_TOKEN_FILE, ${places.join(', ')}`,
    {
      remedy:
        'Get one, for example with oidc-token or htgettoken, or name its file with --token-file.',
    },
  )
}

/**
 * Reads a token from a file and trims white space.
 *
 * @throws {TtsError} `missing_token` (unreadable, or not exactly one token)
 * @throws {TtsError} `configuration`, check `file_mode` (others can read the file, and `wantsPrivate` is set)
 */
export async function readTokenFile(
  path: string,
  { wantsPrivate = false }: Pick<TokenRuntime, 'wantsPrivate'> = {},
): Promise<string> {
  const file = await open(path, 'r').catch((cause: unknown) => unreadable(path, cause))
  try {
    // Only plain files are checked: others cannot open a pipe.
    const found = await file.stat()
    if (wantsPrivate && found.isFile()) refuseSharedSecret(path, found)
    return await readToken(file, path)
  } finally {
    await file.close()
  }
}

/**
 * Reads a token from a default place; undefined when there is no file. Anybody can put a file into /tmp, so a file of
 * another user, or anything but a plain file, is refused.
 */
async function readOwnTokenFile(
  path: string,
  { uid, wantsPrivate }: { readonly uid: number; readonly wantsPrivate: boolean },
): Promise<string | undefined> {
  // O_NONBLOCK: opening a FIFO must not hang.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const file = await open(path, flags).catch((cause: unknown) =>
    codeOf(cause) === 'ENOENT' ? undefined : unreadable(path, cause),
  )
  try {
    const found = await file?.stat()
    if (file === undefined || found === undefined) return undefined
    if (!found.isFile() || (found.uid !== uid && found.uid !== 0)) {
      throw new TtsError('missing_token', `${path} is not a plain file that you own`, {
        remedy: 'Remove it, or name the file with your token with --token-file.',
      })
    }
    if (wantsPrivate) refuseSharedSecret(path, found)
    return await readToken(file, path)
  } finally {
    await file?.close()
  }
}

async function readToken(file: FileHandle, path: string): Promise<string> {
  const buffer = Buffer.alloc(MAX_TOKEN_FILE_BYTES + 1)
  let length = 0
  // A pipe, as in `--token-file <(oidc-token iam)`, delivers its content in pieces.
  while (length < buffer.length) {
    const { bytesRead } = await file
      .read(buffer, length, buffer.length - length, null)
      .catch((cause: unknown) => unreadable(path, cause))
    if (bytesRead === 0) break
    length += bytesRead
  }
  const token = buffer.toString('utf8', 0, length).trim()
  if (length > MAX_TOKEN_FILE_BYTES || token === '' || /\s/.test(token))
    throw new TtsError('missing_token', `the token file ${path} does not hold exactly one token`)
  return token
}

function unreadable(path: string, cause: unknown): never {
  const message = `the token file ${path} cannot be read: ${codeOf(cause) ?? 'error'}`
  throw new TtsError('missing_token', message, { cause })
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined

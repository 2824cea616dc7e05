/** WLCG Bearer Token Discovery: finds the user's token on this machine. */
import { type FileHandle, open } from 'node:fs/promises'
import { readJson } from '../../plugins/json.ts'
import { TtsError } from '../base/errors.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { cannotRead } from './file-errors.ts'
import { INPUT_FLAGS, readOpenInput } from './input-file.ts'
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
  /** How long to wait for the writer of a pipe. Default 10,000. */
  readonly timeoutMs?: number
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
  const { environment, uid, temporaryDirectory = '/tmp', wantsPrivate = false, timeoutMs } = runtime
  const inEnvironment = environment['BEARER_TOKEN']?.trim()
  if (inEnvironment)
    return { token: parseToken(inEnvironment, 'BEARER_TOKEN'), source: 'BEARER_TOKEN' }
  const options = { wantsPrivate, ...(timeoutMs === undefined ? {} : { timeoutMs }) }
  const named = environment['BEARER_TOKEN_FILE']?.trim()
  if (named) return { token: await readTokenFile(named, options), source: named }
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
 * Reads a token from a file and trims white space. The file holds the token alone, or the JSON answer of a token
 * endpoint, as HTCondor's credmon stores it (RFC 6749 section 5.1).
 *
 * @throws {TtsError} `missing_token` (unreadable, or not exactly one token)
 * @throws {TtsError} `configuration`, check `file_mode` (others can read the file, and `wantsPrivate` is set)
 */
export async function readTokenFile(
  path: string,
  { wantsPrivate = false, timeoutMs }: Pick<TokenRuntime, 'wantsPrivate' | 'timeoutMs'> = {},
): Promise<string> {
  const file = await open(path, INPUT_FLAGS).catch((cause: unknown) => unreadable(path, cause))
  try {
    // Only plain files are checked: others cannot open a pipe.
    const found = await file.stat()
    if (wantsPrivate && found.isFile()) refuseSharedSecret(path, found)
    return await readToken(file, path, timeoutMs)
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
  const file = await open(path, INPUT_FLAGS).catch((cause: unknown) =>
    systemErrorCode(cause) === 'ENOENT' ? undefined : unreadable(path, cause),
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

async function readToken(file: FileHandle, path: string, timeoutMs?: number): Promise<string> {
  const limits = { maxBytes: MAX_TOKEN_FILE_BYTES, timeoutMs }
  const content = await readOpenInput(file, path, limits).catch((error: unknown) => {
    if (!(error instanceof TtsError)) return unreadable(path, error)
    throw new TtsError('missing_token', `the token file ${error.message}`, {
      ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
      cause: error,
    })
  })
  return parseToken(content.toString('utf8').trim(), `the token file ${path}`)
}

/** Returns the token in a text: the text itself, or `access_token` of a JSON object. @param name for messages */
function parseToken(text: string, name: string): string {
  const token = text.startsWith('{') ? accessTokenIn(text, name) : text
  if (token === '') throw new TtsError('missing_token', `${name} is empty`)
  // Exactly what fits in the header Authorization.
  if (/^[\x21-\x7e]+$/.test(token)) return token
  throw new TtsError('missing_token', `${name} does not hold exactly one token`, {
    remedy: 'It must hold the access token alone, or a JSON object with access_token.',
  })
}

function accessTokenIn(text: string, name: string): string {
  const read = readJson(text)
  const value = 'value' in read ? read.value : undefined
  const token: unknown =
    typeof value === 'object' && value !== null && 'access_token' in value
      ? value.access_token
      : undefined
  if (typeof token === 'string') return token
  const isRefresh = typeof value === 'object' && value !== null && 'refresh_token' in value
  throw new TtsError('missing_token', `${name} is JSON without an access_token`, {
    remedy: isRefresh
      ? 'It holds a refresh token. Name the file with the access token: HTCondor stores it with the suffix .use.'
      : 'It must hold the access token alone, or a JSON object with access_token.',
  })
}

function unreadable(path: string, cause: unknown): never {
  throw cannotRead(`the token file ${path}`, cause, { code: 'missing_token' })
}

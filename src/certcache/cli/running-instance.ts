/** Asks a running certcache for its status. */
import { X509Certificate } from 'node:crypto'
import type { RequestOptions } from 'node:https'
import { resolve } from 'node:path'
import { connectionReason } from '../../client/http-client.ts'
import { sendHttp } from '../../client/http-request.ts'
import { readSecret } from '../../config/settings-tree.ts'
import { TtsError } from '../../base/errors.ts'
import { cannotRead } from '../../files/file-errors.ts'
import { readInputFileSync } from '../../files/input-file.ts'
import { findProxyFailure } from '../../network/network.ts'
import { isLoopback } from '../settings/listen-settings.ts'
import type { LoadedCertcacheSettings } from '../settings/load-settings.ts'
import { statusReport, type StatusReport } from '../status.ts'
import { type CliRuntime, setUpNetwork, type SettingsOptions } from './runtime.ts'

export interface StatusOptions extends SettingsOptions {
  readonly socket?: string
  readonly secretFile?: string
  readonly cacert?: string
  readonly json?: boolean
}

/** The address of a running certcache, and its secret. */
export interface InstanceTarget {
  /** For messages: a URL without its secret, or a path. */
  readonly shown: string
  readonly secure: boolean
  readonly connection: RequestOptions
  readonly secret: string | undefined
}

const TIMEOUT_MS = 10_000
const MAX_FILE_BYTES = 4 * 1024 * 1024

/**
 * Returns the target named on the command line or in the environment; undefined if none is named.
 *
 * @throws {TtsError} `invalid_request`, `configuration`, `not_found`
 */
export async function targetFromOptions(
  runtime: CliRuntime,
  options: StatusOptions,
): Promise<InstanceTarget | undefined> {
  const { environment } = runtime
  const url =
    options.url ?? (options.socket === undefined ? environment['CERTCACHE_URL'] : undefined)
  if (url) {
    setUpNetwork(runtime)
    return targetFromUrl(url, runtime, options)
  }
  return options.socket === undefined
    ? undefined
    : targetFromSocket(options.socket, runtime, options)
}

async function targetFromSocket(
  path: string,
  runtime: CliRuntime,
  options: StatusOptions,
): Promise<InstanceTarget> {
  const socketPath = resolve(runtime.currentDirectory, path)
  const secret = await readSecretOption(runtime, options)
  return { shown: socketPath, secure: false, connection: { socketPath }, secret }
}

async function targetFromUrl(
  text: string,
  runtime: CliRuntime,
  options: StatusOptions,
): Promise<InstanceTarget> {
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new TtsError('invalid_request', '--url or CERTCACHE_URL: must be an http or https URL')
  const { protocol, hostname, port, username, password, origin } = new URL(text)
  const inUrl = decodeURIComponent(password || username) || undefined
  const secret = (await readSecretOption(runtime, options)) ?? inUrl
  const host = hostname.replace(/^\[|\]$/g, '')
  const secure = protocol === 'https:'
  if (secret !== undefined && !secure && !isLoopback(host))
    throw new TtsError(
      'invalid_request',
      `--url or CERTCACHE_URL: must be an https URL, because the secret would cross the network to ${origin} unencrypted`,
    )
  const ca = options.cacert === undefined ? {} : { ca: readAuthorities(options.cacert, runtime) }
  return {
    shown: origin,
    secure,
    connection: { host, port: port || (secure ? 443 : 80), ...ca },
    secret,
  }
}

/** Returns the certcache of these settings on this machine. Its certificate file is known, so no CA is needed. */
export async function targetFromSettings(
  runtime: CliRuntime,
  options: StatusOptions,
  { listen, access }: LoadedCertcacheSettings,
): Promise<InstanceTarget> {
  const secret = (await readSecretOption(runtime, options)) ?? access.secret
  if (listen.socket !== undefined)
    return {
      shown: listen.socket,
      secure: false,
      connection: { socketPath: listen.socket },
      secret,
    }
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[listen.host] ?? listen.host
  const { port, tls_certificate_file: file } = listen
  const secure = file !== undefined
  const shown = `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
  const pinned = file === undefined ? {} : pinCertificate(file)
  // This machine is not reached through a proxy, whatever its address.
  return { shown, secure, connection: { host, port, agent: false, ...pinned }, secret }
}

/** Accepts only the certificate in the file, whatever host name it is for. */
function pinCertificate(file: string): RequestOptions {
  const ca = readFile(file)
  const own = new X509Certificate(ca)
  return {
    ca,
    allowPartialTrustChain: true,
    checkServerIdentity: (_host, { raw }) =>
      own.raw.equals(raw) ? undefined : new Error('the certificate is not the one in the settings'),
  }
}

async function readSecretOption(
  { environment, currentDirectory }: CliRuntime,
  { secretFile }: StatusOptions,
): Promise<string | undefined> {
  const path = secretFile ?? environment['CERTCACHE_SECRET_FILE']
  return path ? readSecret('--secret-file', resolve(currentDirectory, path)) : undefined
}

const readAuthorities = (path: string, { currentDirectory }: CliRuntime): string =>
  readFile(resolve(currentDirectory, path))

function readFile(path: string): string {
  try {
    return readInputFileSync(path, { maxBytes: MAX_FILE_BYTES }).toString('utf8')
  } catch (cause) {
    throw cannotRead(path, cause)
  }
}

/**
 * Fetches the status.
 *
 * @throws {TtsError} `provider_unavailable` (no answer), `access_denied`, `internal` (the answer is not from a
 * certcache)
 */
export async function askRunning(target: InstanceTarget): Promise<StatusReport> {
  const { status, body } = await get(target)
  if (status === 401 || status === 403)
    throw new TtsError('access_denied', `${target.shown} denies access: ${oneLine(body)}`, {
      remedy: 'Name the file with its secret: --secret-file FILE.',
    })
  const parsed = statusReport.safeParse(status === 200 ? parseJson(body) : undefined)
  if (parsed.success) return parsed.data
  throw new TtsError(
    'internal',
    `${target.shown} does not answer like a certcache (HTTP ${status})`,
    {
      check: 'foreign_answer',
      remedy:
        'Another program listens there. Check --url or --socket, or listen.port in the settings.',
    },
  )
}

async function get({
  secure,
  connection,
  secret,
  shown,
}: InstanceTarget): Promise<{ readonly status: number; readonly body: string }> {
  const headers = secret === undefined ? {} : { authorization: `Bearer ${secret}` }
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  try {
    return await sendHttp({ ...connection, secure, path: '/status', headers, signal })
  } catch (cause) {
    const failure = secure ? findProxyFailure(shown, cause) : undefined
    const reason = failure?.reason ?? describeCause(cause as Error)
    throw new TtsError('provider_unavailable', `${shown} does not answer: ${reason}`, {
      cause,
      ...(failure === undefined ? {} : { remedy: failure.remedy }),
    })
  }
}

function describeCause(cause: Error): string {
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  const ofInstance: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'no program listens there',
    ENOENT: 'the socket does not exist',
    ENOTSOCK: 'it is not a socket',
  }
  return ofInstance[code] ?? connectionReason(cause)
}

const oneLine = (text: string): string =>
  text
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, 200)

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

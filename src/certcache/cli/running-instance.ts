/** Asking a running certcache for its status. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { resolve } from 'node:path'
import { readSecret } from '../../config/settings-tree.ts'
import { TtsError } from '../../base/errors.ts'
import { isLoopback } from '../settings/listen-settings.ts'
import type { LoadedCertcacheSettings } from '../settings/load-settings.ts'
import { statusReport, type StatusReport } from '../status.ts'
import type { CliRuntime, SettingsOptions } from './runtime.ts'

export interface StatusOptions extends SettingsOptions {
  readonly socket?: string
  readonly secretFile?: string
  readonly cacert?: string
  readonly json?: boolean
}

/** Where a certcache answers, and what it wants to be shown. */
export interface InstanceTarget {
  /** For people: a URL without what is secret, or a path. */
  readonly shown: string
  readonly secure: boolean
  readonly connection: RequestOptions
  readonly secret: string | undefined
}

const TIMEOUT_MS = 10_000
const MAX_BYTES = 1024 * 1024

/**
 * The target that is named on the command line or in the environment; undefined when none is, and then with settings the
 * one that they describe.
 *
 * @throws {TtsError} `invalid_request`, `configuration`, `not_found`
 */
export function targetFrom(
  runtime: CliRuntime,
  options: StatusOptions,
): Promise<InstanceTarget> | undefined
export function targetFrom(
  runtime: CliRuntime,
  options: StatusOptions,
  settings: LoadedCertcacheSettings,
): Promise<InstanceTarget>
export function targetFrom(
  runtime: CliRuntime,
  options: StatusOptions,
  settings?: LoadedCertcacheSettings,
): Promise<InstanceTarget> | undefined {
  const { environment } = runtime
  const url =
    options.url ?? (options.socket === undefined ? environment['CERTCACHE_URL'] : undefined)
  if (url) return namedByUrl(url, runtime, options)
  if (options.socket !== undefined) return bySocket(options.socket, runtime, options)
  return settings && describedBy(settings, runtime, options)
}

async function bySocket(
  path: string,
  runtime: CliRuntime,
  options: StatusOptions,
): Promise<InstanceTarget> {
  const socketPath = resolve(runtime.currentDirectory, path)
  const secret = await secretFor(runtime, options)
  return { shown: socketPath, secure: false, connection: { socketPath }, secret }
}

async function namedByUrl(
  text: string,
  runtime: CliRuntime,
  options: StatusOptions,
): Promise<InstanceTarget> {
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new TtsError('invalid_request', 'the URL of the running certcache is not http or https')
  const { protocol, hostname, port, username, password, origin } = new URL(text)
  const inUrl = decodeURIComponent(password || username) || undefined
  const secret = (await secretFor(runtime, options)) ?? inUrl
  const host = hostname.replace(/^\[|\]$/g, '')
  const secure = protocol === 'https:'
  if (secret !== undefined && !secure && !isLoopback(host))
    throw new TtsError(
      'invalid_request',
      `${origin} is plain http: the secret would cross the network in clear`,
    )
  const ca = options.cacert === undefined ? {} : { ca: readAuthorities(options.cacert, runtime) }
  return {
    shown: origin,
    secure,
    connection: { host, port: port || (secure ? 443 : 80), ...ca },
    secret,
  }
}

/** The certcache of these settings on this machine. Its certificate is known: no CA has to vouch for it. */
async function describedBy(
  { listen, access }: LoadedCertcacheSettings,
  runtime: CliRuntime,
  options: StatusOptions,
): Promise<InstanceTarget> {
  const secret = (await secretFor(runtime, options)) ?? access.secret
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
  const pinned = file === undefined ? {} : pin(file)
  return { shown, secure, connection: { host, port, ...pinned }, secret }
}

function pin(file: string): RequestOptions {
  const ca = readFile(file)
  const own = new X509Certificate(ca)
  return {
    ca,
    allowPartialTrustChain: true,
    checkServerIdentity: (_host, { raw }) =>
      own.raw.equals(raw)
        ? undefined
        : new Error('another certificate than the one in the settings'),
  }
}

async function secretFor(
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
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new TtsError('not_found', `the file ${path} cannot be read`, { cause })
  }
}

/**
 * Asks for the status.
 *
 * @throws {TtsError} `provider_unavailable` (nothing answers), `access_denied`, `internal` (what answers is no certcache)
 */
export async function askRunning(target: InstanceTarget): Promise<StatusReport> {
  const { status, text } = await get(target)
  if (status === 401 || status === 403)
    throw new TtsError('access_denied', `${target.shown} does not let us in: ${oneLine(text)}`, {
      remedy: 'Name the file of the secret with --secret-file FILE.',
    })
  const parsed = statusReport.safeParse(status === 200 ? parseJson(text) : undefined)
  if (parsed.success) return parsed.data
  throw new TtsError(
    'internal',
    `what answers at ${target.shown} is not a certcache (HTTP ${status})`,
  )
}

function get({
  secure,
  connection,
  secret,
  shown,
}: InstanceTarget): Promise<{ status: number; text: string }> {
  return new Promise((fulfil, reject) => {
    const fail = (cause: Error): void =>
      reject(
        new TtsError('provider_unavailable', `${shown} does not answer: ${why(cause)}`, { cause }),
      )
    const request = (secure ? httpsRequest : httpRequest)(
      {
        ...connection,
        path: '/status',
        headers: secret === undefined ? {} : { authorization: `Bearer ${secret}` },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      },
      (response) => {
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > MAX_BYTES) response.destroy(new Error('the answer is too long'))
          else chunks.push(chunk)
        })
        response.on('error', fail)
        response.on('end', () =>
          fulfil({
            status: response.statusCode ?? 0,
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        )
      },
    )
    request.on('error', fail)
    request.end()
  })
}

function why(cause: Error): string {
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message
  return { ECONNREFUSED: 'nothing listens there', ENOENT: 'there is no such socket' }[code] ?? code
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

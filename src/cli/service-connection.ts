/** The connection of a person's commands to the service: its address, the access token, TLS, clock and `--verbose`. */
import { X509Certificate } from 'node:crypto'
import type { Command } from 'commander'
import { TtsError } from '../base/errors.ts'
import { clockDifference, describeClockDifference } from '../client/clock.ts'
import { requireSafeToken, send } from '../client/http-client.ts'
import type { HttpResponse } from '../client/http-request.ts'
import { discoverBearerToken, readTokenFile } from '../files/bearer-token.ts'
import { cannotRead } from '../files/file-errors.ts'
import { readInputFile } from '../files/input-file.ts'
import { useNetwork } from '../network/network.ts'
import { waitSeconds } from './duration.ts'
import type { Terminal } from './terminal.ts'

/** The options that `addServiceOptions` adds. */
export interface ServiceOptions {
  readonly url?: string
  readonly tokenFile?: string
  readonly cacert?: string
  /** In seconds. */
  readonly timeout: number
  readonly verbose?: boolean
}

/** A request of a person. */
export interface PersonRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Path below the address of the service, without a slash at its start. */
  readonly path: string
  readonly query: Readonly<Record<string, string | undefined>>
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** Sends requests with the person's token. @throws {TtsError} `provider_unavailable` */
export type ServiceConnection = (request: PersonRequest) => Promise<HttpResponse>

const MAX_CA_BYTES = 4 * 1024 * 1024

/** Adds the options that say where the service is, and how to reach it. */
export function addServiceOptions(command: Command): Command {
  return command
    .option('--url <URL>', 'URL of the service (default: TTS_URL, or http://127.0.0.1:8080)')
    .option(
      '--token-file <FILE>',
      'file with the access token (default: BEARER_TOKEN, BEARER_TOKEN_FILE, $XDG_RUNTIME_DIR/bt_u$ID, /tmp/bt_u$ID)',
    )
    .option(
      '--cacert <FILE>',
      "PEM file with the CA certificates for the service's TLS certificate (default: those of Node, SSL_CERT_FILE, SSL_CERT_DIR and X509_CERT_DIR)",
    )
    .option('--timeout <SECONDS>', 'time limit for the service, in seconds', waitSeconds, 60)
    .option('--verbose', 'print each request, its status and its time; never a token')
}

/**
 * Reads the token and the CA certificates. Asks nothing of the service yet.
 *
 * @throws {TtsError} `missing_token`, `invalid_request`, `not_found`
 */
export async function connectToService(
  terminal: Terminal,
  options: ServiceOptions,
): Promise<ServiceConnection> {
  const base = serviceAddress(terminal, options)
  const timeoutMs = options.timeout * 1000
  useNetwork({
    environment: terminal.environment,
    trustGridAuthorities: true,
    warn: (line) => terminal.note(`tts: warning: ${line}`),
  })
  const certificateAuthorities =
    options.cacert === undefined ? undefined : await readAuthorities(options.cacert, timeoutMs)
  const token =
    options.tokenFile === undefined
      ? (await discoverBearerToken({ ...terminal, timeoutMs })).token
      : await readTokenFile(options.tokenFile, { timeoutMs })
  return async ({ method, path, query, headers, body }) => {
    const url = new URL(path, base)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, value)
    const response = await send({
      url,
      method,
      headers: { ...headers, authorization: `Bearer ${token}` },
      body,
      certificateAuthorities,
      timeoutMs,
      trace: options.verbose ? (line) => terminal.note(line) : undefined,
    })
    warnAboutClock(terminal, response)
    return response
  }
}

function warnAboutClock(terminal: Terminal, { headers }: HttpResponse): void {
  const seconds = clockDifference(headers, terminal.now())
  if (seconds !== undefined) terminal.note(`tts: warning: ${describeClockDifference(seconds)}`)
}

/** @throws {TtsError} `invalid_request` */
function serviceAddress(terminal: Terminal, options: ServiceOptions): URL {
  const base = options.url ?? terminal.environment['TTS_URL'] ?? 'http://127.0.0.1:8080'
  if (!URL.canParse(base) || !/^https?:/.test(base))
    throw new TtsError('invalid_request', `"${base}" is not an http or https URL`)
  const url = new URL(base.endsWith('/') ? base : `${base}/`)
  requireSafeToken(url)
  return url
}

/** Reads a PEM file, and checks that its first certificate can be parsed. */
async function readAuthorities(path: string, timeoutMs: number): Promise<string> {
  const limits = { maxBytes: MAX_CA_BYTES, timeoutMs }
  const content = await readInputFile(path, limits).catch((cause: unknown) => {
    throw cannotRead(`the file ${path}`, cause)
  })
  const text = content.toString('utf8')
  try {
    void new X509Certificate(text)
    return text
  } catch (cause) {
    throw new TtsError('invalid_request', `${path} contains no PEM certificate`, { cause })
  }
}

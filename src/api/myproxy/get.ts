/** GET: an access token or a one-time code as passphrase, a CSR, and the certificates in return. */
import { readPem, toPem } from '../../../ca/pem.ts'
import { X509_PROXY } from '../../../plugins/x509-proxy/index.ts'
import { TtsError } from '../../base/errors.ts'
import { myproxyPlugins } from '../../config/myproxy-schema.ts'
import type { Evidence } from '../../domain/issuing/callers.ts'
import {
  type AskedFor,
  issue,
  type IssuedCredential,
  type IssueDependencies,
} from '../../domain/issuing/issue.ts'
import { recordEarlyRefusal } from '../../domain/issuing/issue-audit.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { isOneTimeCode, type OneTimeCodes } from '../../domain/one-time-codes.ts'
import type { Metrics } from '../../service/metrics.ts'
import type { MyProxyContext } from './context.ts'
import type { MyProxyRequest } from './request.ts'
import { certificatesMessage, okResponse } from './responses.ts'

export interface GetDependencies {
  readonly issuing: IssueDependencies
  readonly codes: OneTimeCodes
  readonly metrics: Metrics
  /** Id of the service for requests that name none. */
  readonly defaultService: string
  /** Names of the VOs whose attributes are issued. */
  readonly vos: readonly string[]
  /** Where users get one-time codes, for error messages; undefined: nowhere. */
  readonly codesUrl: () => string | undefined
}

interface GetContext extends MyProxyContext {
  /** Makes the response that asks for the CSR. */
  readonly ok: () => Promise<Buffer>
}

/** `MAX_PASS_LEN` of MyProxy's own clients: `myproxy-logon -S` cuts what is longer, without a word. */
export const CLIENT_PASSPHRASE_BYTES = 1024

/**
 * Issues a credential. The caller is identified before the first response, and the CSR is read after it: the protocol
 * has this order, and so does `issue`.
 *
 * @throws {TtsError} as `issue`; `invalid_token`, checks `one_time_code` and `token_cut`
 */
export async function answerGet(
  dependencies: GetDependencies,
  request: MyProxyRequest,
  context: GetContext,
): Promise<void> {
  const { issuing, metrics, defaultService } = dependencies
  const { origin, signal, log, send } = context
  const evidence = await evidenceOf(dependencies, request, context)
  if (evidence === undefined) return
  const serviceId = 'proxy' in evidence ? undefined : (request.credentialName ?? defaultService)
  const read = async (shown: string | undefined): Promise<AskedFor> => {
    const parameters = parametersOf(dependencies, request, serviceId ?? shown ?? '')
    return { serviceId, parameters: { ...parameters, csr: await readCsr(context) } }
  }
  const application = { ...evidence, serviceId, read, origin, signal, log }
  const credential = await issue(issuing, application).catch((error: unknown) => {
    throw explained(dependencies, request, error)
  })
  metrics.credentialIssued(credential.serviceId)
  send(certificatesMessage(certificatesOf(credential)))
  send(okResponse())
}

/**
 * Returns what says who the caller is; undefined for a caller who got trust roots and wanted nothing else.
 *
 * @throws {TtsError} `invalid_token` (not a code), `missing_token`, `store_unavailable`
 */
async function evidenceOf(
  dependencies: GetDependencies,
  { passphrase, wantsTrustRoots }: MyProxyRequest,
  context: GetContext,
): Promise<Evidence | undefined> {
  const { issuing } = dependencies
  const { certificates, origin, log } = context
  if (passphrase !== '' && !isOneTimeCode(passphrase)) return { token: passphrase }
  if (passphrase === '' && certificates.length > 0 && issuing.possession !== undefined)
    return { proxy: { certificates, proof: 'tls' } }
  try {
    if (passphrase !== '') return { token: await tokenOfCode(dependencies, passphrase) }
    // Trust roots are for everybody. A client that wants no more (myproxy-logon -n -N -T) goes when it has them.
    if (wantsTrustRoots && !(await wantsMore(context))) return undefined
    throw new TtsError(
      'missing_token',
      `there was no passphrase: it must be an access token${codesAdvice(dependencies)}`,
      { check: 'passphrase' },
    )
  } catch (error) {
    throw await recordEarlyRefusal(issuing, { serviceId: undefined, origin, log }, error)
  }
}

async function tokenOfCode({ codes }: GetDependencies, code: string): Promise<string> {
  const token = await codes.take(code)
  if (token !== undefined) return token
  throw new TtsError(
    'invalid_token',
    'the one-time code is unknown, was used before, or has expired: get a new one',
    { check: 'one_time_code' },
  )
}

/** Whether the client sends a CSR after the first response. */
async function wantsMore(context: GetContext): Promise<boolean> {
  try {
    await readCsr(context)
    return true
  } catch (error) {
    if (error instanceof TtsError && error.check === 'closed') return false
    throw error
  }
}

function codesAdvice({ codesUrl }: GetDependencies): string {
  const url = codesUrl()
  return url === undefined ? '' : `, or a one-time code from ${url}`
}

/**
 * The parameters for the plugin. A life that is longer than the service gives is shortened, as MyProxy servers do it:
 * clients ask for 12 hours unless told otherwise.
 *
 * @throws {TtsError} `not_found`, `invalid_request`
 */
function parametersOf(
  { issuing, vos }: GetDependencies,
  { lifetimeSeconds, voms }: MyProxyRequest,
  serviceId: string,
): Record<string, unknown> {
  const { plugin, lifetimes } = requireService(issuing, serviceId)
  const longest = lifetimes?.maximumSeconds ?? 0
  const ours = voms.filter((name) => vos.includes(name.split(':', 1)[0] ?? ''))
  return {
    ...(lifetimeSeconds === 0 ? {} : { lifetime_seconds: Math.min(lifetimeSeconds, longest) }),
    ...(plugin.id === X509_PROXY && ours.length > 0 ? { voms: ours } : {}),
  }
}

function requireService({ services }: Pick<IssueDependencies, 'services'>, id: string): Service {
  const service = services.get(id)
  if (service === undefined)
    throw new TtsError('not_found', 'no service has the name that CRED_NAME gives', {
      check: 'service',
    })
  if (myproxyPlugins.includes(service.plugin.id)) return service
  throw new TtsError('invalid_request', 'this service makes no certificates for MyProxy clients', {
    check: 'service',
  })
}

/** Asks the client for its CSR, and returns it in PEM. */
async function readCsr({
  ok,
  reader,
  signal,
  send,
  admitted,
  giveUp,
}: GetContext): Promise<string> {
  send(await ok())
  const endWait = admitted.waiting(giveUp)
  try {
    return toPem('CERTIFICATE REQUEST', await reader.csr(signal))
  } finally {
    endWait()
  }
}

/** The issued certificate and those above it. */
function certificatesOf({ entries: [entry] }: IssuedCredential): readonly Buffer[] {
  const blocks = readPem(entry?.value ?? '', 'credential')
  const ders = blocks.filter(({ label }) => label === 'CERTIFICATE').map(({ der }) => der)
  if (ders.length > 0) return ders
  throw new TtsError('internal', 'the plugin made no certificate')
}

/** A token that a client has cut is refused like any damaged one, which would not tell its user what to do. */
function explained(
  dependencies: GetDependencies,
  { passphrase }: MyProxyRequest,
  error: unknown,
): unknown {
  const isCut = Buffer.byteLength(passphrase) === CLIENT_PASSPHRASE_BYTES
  if (!isCut || !(error instanceof TtsError) || error.code !== 'invalid_token') return error
  return new TtsError(
    'invalid_token',
    `the passphrase is no valid token, and has ${CLIENT_PASSPHRASE_BYTES} characters, after which myproxy-logon cuts longer tokens: use a shorter token${codesAdvice(dependencies)}`,
    { check: 'token_cut', cause: error },
  )
}

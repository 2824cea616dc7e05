/** Checks a proxy from the service or from storage before certcache uses it. */
import { validateChain } from '../../../ca/chain.ts'
import { CaError } from '../../../ca/errors.ts'
import {
  type FormattedKey,
  formatProxyFile,
  keyBelongsTo,
  parseProxyFile,
  type ProxyFile,
} from '../../../ca/proxy-file.ts'
import { describeProxy } from '../../../ca/proxy-info.ts'
import { TtsError } from '../../base/errors.ts'
import type { HeldProxy } from '../proxy-engine.ts'
import type { ProxySettings } from '../settings/proxy-settings.ts'

/** What the proxy must be. */
export interface ExpectedProxy {
  readonly name: string
  readonly type: ProxySettings['type']
  readonly now: Date
}

/**
 * Checks the service's answer against our key and returns both as a proxy file.
 *
 * @throws {TtsError} `internal` with check `proxy_refused` (the message says what is wrong)
 */
export function checkNewProxy(pem: string, key: FormattedKey, expected: ExpectedProxy): HeldProxy {
  const { certificates } = parse(pem)
  const [proxy, ...chain] = certificates
  if (proxy === undefined || chain.length === 0) refuse('it is not a proxy followed by its EEC')
  const text = formatProxyFile(
    proxy.der,
    key,
    chain.map(({ der }) => der),
  )
  return checkStoredProxy(text, { ...expected, obtainedAt: expected.now })
}

/**
 * Checks a complete proxy file from storage and returns it.
 *
 * @param expected `obtainedAt` undefined: the notBefore of the proxy counts
 * @throws {TtsError} `internal` with check `proxy_refused`
 */
export function checkStoredProxy(
  text: string,
  expected: ExpectedProxy & { readonly obtainedAt: Date | undefined },
): HeldProxy {
  const file = parse(text)
  const [proxy, ...chain] = file.certificates
  if (proxy === undefined || chain.length === 0) refuse('it is not a proxy followed by its EEC')
  if (file.privateKey === undefined || !keyBelongsTo(file.privateKey, proxy))
    refuse('its private key is missing or does not match its certificate')
  const facts = describeProxy(file, { now: expected.now, path: '' })
  if (facts.notAfter.getTime() <= expected.now.getTime())
    refuse(`it expired at ${facts.notAfter.toISOString()}`)
  if (!facts.type.endsWith(`${expected.type} proxy`))
    refuse(`its type must be ${expected.type}, but it is: ${facts.type}`)
  checkChain(file, expected.now)
  return {
    name: expected.name,
    pem: Buffer.from(text, 'latin1'),
    subject: facts.subject,
    identity: facts.identity,
    obtainedAt: expected.obtainedAt ?? proxy.validity.notBefore,
    notAfter: facts.notAfter,
  }
}

/**
 * The root is not in the file. So the issuer of the last certificate is not checked, but every other certificate must
 * chain to the last one. A notBefore in the future is accepted: our clock is then behind, and other machines can use
 * the file.
 */
function checkChain({ certificates }: ProxyFile, now: Date): void {
  const { problems, path } = validateChain({ certificates, anchors: [], now, allowProxies: true })
  const isWhole = path.length === certificates.length
  const [problem] = problems.filter(
    ({ code }) => code !== 'not_yet_valid' && !(code === 'untrusted' && isWhole),
  )
  if (problem !== undefined) refuse(`its chain is not valid: ${problem.message}`)
}

function parse(text: string): ProxyFile {
  try {
    return parseProxyFile(text)
  } catch (error) {
    if (error instanceof CaError) refuse('it cannot be read', error)
    throw error
  }
}

function refuse(reason: string, cause?: unknown): never {
  throw new TtsError('internal', `the proxy is refused: ${reason}`, {
    check: 'proxy_refused',
    remedy: 'Ask the operator of the service. Until then the old proxy stays in use.',
    ...(cause === undefined ? {} : { cause }),
  })
}

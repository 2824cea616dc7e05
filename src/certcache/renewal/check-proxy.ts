/** Looks at what the service answered, or what was kept, before it takes the place of anything. */
import type { KeyObject } from 'node:crypto'
import { validateChain } from '../../../ca/chain.ts'
import { CaError } from '../../../ca/errors.ts'
import {
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
export interface WantedProxy {
  readonly name: string
  readonly type: ProxySettings['type']
  readonly now: Date
}

/**
 * The file of the service's answer and our key, once all of it is sound.
 *
 * @throws {TtsError} `internal` with check `proxy_refused` saying what is wrong
 */
export function checkNewProxy(pem: string, key: KeyObject, wanted: WantedProxy): HeldProxy {
  const { certificates } = parse(pem)
  const [proxy, ...chain] = certificates
  if (proxy === undefined || chain.length === 0) refuse('it is not a proxy with its EEC')
  const text = formatProxyFile(
    proxy.der,
    key,
    chain.map(({ der }) => der),
  )
  return checkHeldProxy(text, { ...wanted, obtainedAt: wanted.now })
}

/**
 * A whole proxy file that was kept, once all of it is sound.
 *
 * @param wanted `obtainedAt` undefined: its own begin
 * @throws {TtsError} `internal` with check `proxy_refused`
 */
export function checkHeldProxy(
  text: string,
  wanted: WantedProxy & { readonly obtainedAt: Date | undefined },
): HeldProxy {
  const file = parse(text)
  const [proxy, ...chain] = file.certificates
  if (proxy === undefined || chain.length === 0) refuse('it is not a proxy with its EEC')
  if (file.privateKey === undefined || !keyBelongsTo(file.privateKey, proxy))
    refuse('its key is not ours')
  const facts = describeProxy(file, { now: wanted.now, path: '' })
  if (facts.notAfter.getTime() <= wanted.now.getTime())
    refuse(`it ended at ${facts.notAfter.toISOString()}`)
  if (!facts.type.endsWith(`${wanted.type} proxy`))
    refuse(`asked for a proxy of type ${wanted.type}, this is: ${facts.type}`)
  checkChain(file, wanted.now)
  return {
    name: wanted.name,
    pem: Buffer.from(text, 'latin1'),
    subject: facts.subject,
    identity: facts.identity,
    obtainedAt: wanted.obtainedAt ?? proxy.validity.notBefore,
    notAfter: facts.notAfter,
  }
}

/**
 * The root is not in the file: who issued its last certificate is taken on trust, and all others must stand on that one.
 * A begin in the future is accepted, because it is our clock that is then behind, and the file serves others.
 */
function checkChain({ certificates }: ProxyFile, now: Date): void {
  const { problems, path } = validateChain({ certificates, anchors: [], now, allowProxies: true })
  const isWhole = path.length === certificates.length
  const [problem] = problems.filter(
    ({ code }) => code !== 'not_yet_valid' && !(code === 'untrusted' && isWhole),
  )
  if (problem !== undefined) refuse(`its chain is not sound: ${problem.message}`)
}

function parse(text: string): ProxyFile {
  try {
    return parseProxyFile(text)
  } catch (error) {
    if (error instanceof CaError) refuse('it cannot be read', error)
    throw error
  }
}

function refuse(why: string, cause?: unknown): never {
  throw new TtsError('internal', `the proxy is refused: ${why}`, {
    check: 'proxy_refused',
    remedy: 'Ask the operator of the service. The old proxy stays in use.',
    ...(cause === undefined ? {} : { cause }),
  })
}

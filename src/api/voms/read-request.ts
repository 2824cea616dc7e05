/** Reads a request to a VOMS server: `GET /generate-ac?fqans=A,B&lifetime=N&order=A,B&targets=H,I`. */
import { CaError } from '../../../ca/errors.ts'
import { MAX_TARGETS } from '../../../ca/voms/attribute-certificate.ts'
import { type Fqan, parseFqan } from '../../../ca/voms/fqan.ts'
import { TtsError } from '../../base/errors.ts'
import type { ServedRequest } from '../../domain/voms/serve-attributes.ts'

/** A request, and whether it had parameters that nobody knows. */
export interface ReadVomsRequest {
  readonly request: ServedRequest
  readonly hasUnknown: boolean
}

const MAX_FQANS_REQUESTED = 100
const KNOWN = ['fqans', 'lifetime', 'order', 'targets']

/**
 * Reads the query. Clients send it without percent-encoding; a plus is a plus.
 *
 * @param target of the request line, for example `/generate-ac?fqans=/cms&lifetime=43200`
 * @param vo the VO of the port
 * @throws {TtsError} `invalid_request`, check `voms_request`
 */
export function readVomsRequest(target: string, vo: string): ReadVomsRequest {
  const parameters = readQuery(target)
  const fqans = wordsOf(parameters.get('fqans'))
  const lifetime = parameters.get('lifetime') ?? ''
  return {
    hasUnknown: [...parameters.keys()].some((key) => !KNOWN.includes(key)),
    request: {
      vo,
      fqans: fqans.includes('all') ? 'all' : readFqans(fqans, vo),
      lifetimeSeconds: readLifetime(lifetime),
      order: readOrder(wordsOf(parameters.get('order'))),
      targets: readTargets(wordsOf(parameters.get('targets'))),
    },
  }
}

function readQuery(target: string): ReadonlyMap<string, string> {
  const start = target.indexOf('?')
  const parameters = new Map<string, string>()
  for (const pair of start < 0 ? [] : target.slice(start + 1).split('&')) {
    const [name = '', ...rest] = pair.split('=')
    const value = decoded(rest.join('='))
    // VOMS takes several `order`s together.
    const before = parameters.get(name)
    if (before !== undefined && name !== 'order') throw refusal(`${name} is given twice`)
    parameters.set(name, before === undefined ? value : `${before},${value}`)
  }
  return parameters
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refusal('the query is not percent-encoded as it should be')
  }
}

function wordsOf(list: string | undefined): readonly string[] {
  return (list ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
}

function readFqans(texts: readonly string[], vo: string): readonly Fqan[] {
  if (texts.length > MAX_FQANS_REQUESTED)
    throw refusal(`at most ${MAX_FQANS_REQUESTED} FQANs can be requested`)
  const fqans = texts.map((text) => {
    try {
      return parseFqan(text)
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      throw refusal(error.message)
    }
  })
  if (fqans.some(({ groups }) => groups[0] !== vo))
    throw refusal(`every FQAN must begin with /${vo}`)
  return fqans
}

/** What cannot be read orders nothing. */
function readOrder(texts: readonly string[]): readonly Fqan[] {
  if (texts.length > MAX_FQANS_REQUESTED)
    throw refusal(`at most ${MAX_FQANS_REQUESTED} FQANs can be ordered`)
  return texts.flatMap((text) => {
    try {
      return [parseFqan(text.replace(':', '/Role='))]
    } catch {
      return []
    }
  })
}

function readLifetime(text: string): number | undefined {
  if (text === '') return undefined
  if (!/^-?\d{1,12}$/.test(text)) throw refusal('lifetime must be a number of seconds')
  // A negative one asks for the longest.
  const seconds = Number(text)
  return seconds > 0 ? seconds : undefined
}

function readTargets(targets: readonly string[]): readonly string[] {
  if (targets.length > MAX_TARGETS) throw refusal(`at most ${MAX_TARGETS} targets can be named`)
  if (targets.every((target) => /^[\x21-\x7e]{1,255}$/.test(target))) return targets
  throw refusal('a target must be a host name or a URI')
}

function refusal(message: string): TtsError {
  return new TtsError('invalid_request', message, { check: 'voms_request' })
}

import { LRUCache } from 'lru-cache'
import { createContext, Script } from 'node:vm'

/** Longer values are not looked at. */
const MAX_VALUE_CHARACTERS = 1024
/** Far more than any sane pattern needs for such a value. */
const TIMEOUT_MS = 25
/** How long a value on which a regexp took too long is not tried again. */
const SLOW_TTL_MS = 30_000

/**
 * One context in which only regular expressions run. Node's engine backtracks, so that `(a+)+$` could hold up the whole
 * process; a run in a context is the one thing that node can interrupt.
 */
const inputs = Object.assign(Object.create(null) as object, { source: '', value: '' })
const context = createContext(inputs)
const script = new Script(`
  compiled = globalThis.compiled ?? new Map()
  compiled.has(source) || compiled.set(source, new RegExp(source, 'u'))
  compiled.get(source).test(value)
`)

/** A run in a context costs 0.2 ms; the same few patterns meet the same few values all day. */
const known = new LRUCache<string, boolean | 'too slow'>({ max: 5_000 })

/**
 * Whether the value has a part that matches. The source was checked when the configuration was read.
 * Throws Error when the value is longer than 1024 characters or the match takes more than 25 ms.
 */
export function matchesWithinBounds(source: string, value: string): boolean {
  if (value.length > MAX_VALUE_CHARACTERS) throw new Error('the claim is too long for a regexp')
  const key = JSON.stringify([source, value])
  const before = known.get(key)
  const outcome = before ?? runInTime(source, value)
  // What took too long is remembered too, else it would hold up everybody each time; not for long, since a busy machine is slow
  // with any regexp.
  if (before === undefined)
    known.set(key, outcome, outcome === 'too slow' ? { ttl: SLOW_TTL_MS } : {})
  if (outcome === 'too slow') throw new Error(`the regexp takes more than ${TIMEOUT_MS} ms`)
  return outcome
}

function runInTime(source: string, value: string): boolean | 'too slow' {
  inputs.source = source
  inputs.value = value
  try {
    return script.runInContext(context, { timeout: TIMEOUT_MS }) === true
  } catch (error) {
    if (!isTimeout(error)) throw error
    return 'too slow'
  }
}

/** By its code: the error is of the context, and no instance of our Error. */
const isTimeout = (error: unknown): boolean =>
  typeof error === 'object' &&
  error !== null &&
  'code' in error &&
  error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'

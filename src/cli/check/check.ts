/** One line of the result of `tts check`. */
import { TtsError } from '../../base/errors.ts'

export interface Check {
  readonly check: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly detail: string
  readonly remedy?: string
}

/** Turns a TtsError into a failed check. */
export function failure(check: string, error: unknown): Check {
  if (!(error instanceof TtsError)) throw error
  const { message, remedy } = error
  return { check, state: 'failed', detail: message, ...(remedy === undefined ? {} : { remedy }) }
}

/** Formats a check for people: one line, and a second one with the remedy if it is needed. */
export function checkLines({ check: name, state, detail, remedy }: Check): string {
  const mark = { ok: 'ok      ', warning: 'warning ', failed: 'FAILED  ' }[state]
  const action = remedy === undefined || state === 'ok' ? '' : `         -> ${remedy}\n`
  return `${mark} ${name}: ${detail}\n${action}`
}

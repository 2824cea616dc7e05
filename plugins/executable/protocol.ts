/**
 * Parses the answers of WaTTS plugins. The fields that are used are checked strictly. Unknown fields are ignored,
 * because existing plugins were written for several versions of WaTTS.
 */
import { z } from 'zod'
import { isShallowJson, isShallowValue, rawJSON } from '../json.ts'
import { validationWords } from '../validation-words.ts'
import { type CredentialEntry, PluginError } from '../plugin.ts'

/** Messages for callers. Clients of WaTTS know them, so they must not change. */
export const userMessages = {
  badResult: 'the plugin returned a bad result, please contact the administrator',
  hadError: 'the plugin had an error, please contact the administrator',
  timedOut: 'the plugin timed out, please inform the administrator',
  overloaded: 'too many requests wait for the plugin, please try again later',
  starting: 'the plugin is starting, please try again later',
} as const

interface AnswerErrorOptions {
  /** Message for callers. Default: that of a bad result. */
  readonly userMessage?: string
  /** What users may know of the problem. Default: the message. */
  readonly shown?: string | undefined
  /** The program's output if it is not an answer at all. For the author of the plugin, never for a log. */
  readonly output?: Buffer
}

/** The error for an invalid answer. Its message says what is wrong, for the log and the author of the plugin. */
export class AnswerError extends Error {
  readonly userMessage: string
  readonly shown: string
  readonly output: Buffer | undefined

  constructor(problem: string, options: AnswerErrorOptions = {}) {
    super(problem)
    this.name = 'AnswerError'
    this.userMessage = options.userMessage ?? userMessages.badResult
    this.shown = options.shown ?? problem
    this.output = options.output
  }
}

const { hadError } = userMessages

/** A declared configuration parameter. */
export interface DeclaredConfParam {
  readonly name: string
  readonly type: string
  readonly default: unknown
}

/** A declared request parameter. */
export interface DeclaredRequestParam {
  readonly key: string
  readonly name: string
  readonly description: string
  readonly type: string
  readonly mandatory?: unknown
}

/** The answer to `parameter`. */
export interface ParameterAnswer {
  readonly version: string
  readonly confParams: readonly DeclaredConfParam[]
  readonly requestParams: readonly (readonly DeclaredRequestParam[])[]
  readonly developerEmail: string | undefined
  readonly stdin: boolean
}

/** Returns how requests reach the program: an access token and other secrets must go to standard input only. */
export function requestChannel(
  { stdin }: Pick<ParameterAnswer, 'stdin'>,
  { reads_stdin: readsStdin }: { readonly reads_stdin: boolean },
): 'stdin' | 'argument' {
  return stdin || readsStdin ? 'stdin' : 'argument'
}

/** The answer to `request`. */
export type RequestAnswer =
  | {
      readonly kind: 'credential'
      readonly entries: readonly CredentialEntry[]
      readonly state: string
      /** Why entries were left out, one sentence each. */
      readonly problems: readonly string[]
    }
  | { readonly kind: 'login'; readonly provider: string; readonly message: string }

const parameterAnswer = z.object({
  version: z.string().max(200),
  conf_params: z
    .array(z.object({ name: z.string(), type: z.string(), default: z.unknown() }))
    .max(1000),
  request_params: z
    .array(
      z
        .array(
          z.object({
            key: z.string(),
            name: z.string(),
            description: z.string(),
            type: z.string(),
            mandatory: z.unknown().optional(),
          }),
        )
        .max(1000),
    )
    .max(1000),
  developer_email: z.string().optional().catch(undefined),
  features: z
    .object({ stdin: z.boolean().catch(false).default(false) })
    .catch({ stdin: false })
    .default({ stdin: false }),
})

/** The state is stored for revocation, so the database must be able to return it unchanged. */
const state = z
  .string()
  .max(16_384)
  .refine(
    (text) => text.isWellFormed() && !text.includes('\0'),
    'must be text that a database can store',
  )

const credentialAnswer = z.object({ credential: z.array(z.unknown()).max(1000), state })

const loginAnswer = z.object({
  provider: z.string().regex(/^[A-Za-z0-9._-]{1,100}$/, 'must be the id of a provider'),
  msg: z.string(),
})

const errorAnswer = z.object({
  user_msg: z.string(),
  log_msg: z.string().optional().catch(undefined),
})

/**
 * Parses the whole output as one JSON object with the key `result`.
 *
 * @throws {AnswerError} with the raw output's problem
 */
export function parseOutput(output: Buffer): Readonly<Record<string, unknown>> {
  if (output.length === 0) throw new AnswerError('it printed nothing', { userMessage: hadError })
  let value: unknown
  try {
    value = parseExactly(new TextDecoder('utf-8', { fatal: true }).decode(output))
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'is not one JSON object' : 'is not UTF-8'
    throw new AnswerError(`its output ${reason}`, { userMessage: hadError })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new AnswerError('its output is JSON but not an object', { userMessage: hadError })
  const answer = value as Record<string, unknown>
  if (!Object.hasOwn(answer, 'result'))
    throw new AnswerError('its answer has no `result`', { userMessage: hadError })
  return answer
}

/**
 * Parses JSON. A number that JavaScript cannot represent becomes an object that `JSON.stringify` writes as it was: a
 * plugin may answer with a number as password. It is no text, so it is refused where any other number is.
 */
function parseExactly(text: string): unknown {
  // With a function for the values, JSON.parse would overflow the stack on deeply nested text.
  if (!isShallowJson(text)) return JSON.parse(text)
  const exact = (_key: string, value: unknown, { source }: { source?: string }): unknown =>
    typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER
      ? rawJSON(source ?? '')
      : value
  return JSON.parse(text, exact as Parameters<typeof JSON.parse>[1])
}

/** Parses the answer to `parameter`. @throws {AnswerError} invalid, or the plugin reports an error */
export function readParameterAnswer(answer: Readonly<Record<string, unknown>>): ParameterAnswer {
  if (answer['result'] === 'error') {
    const { log_msg: logMessage, user_msg: userMessage } = answer
    const shown = typeof userMessage === 'string' ? userMessage : 'error'
    const message = typeof logMessage === 'string' ? logMessage : shown
    // The protocol keeps `log_msg` for the log.
    throw new AnswerError(`the plugin says: ${oneLine(message)}`, {
      shown: `the plugin says: ${oneLine(shown)}`,
    })
  }
  expectOk(answer)
  const read = parse(parameterAnswer, answer)
  return {
    version: oneLine(read.version),
    confParams: read.conf_params,
    requestParams: read.request_params,
    developerEmail: read.developer_email,
    stdin: read.features.stdin,
  }
}

/**
 * Parses the answer to `request`.
 *
 * @throws {AnswerError} the answer is invalid
 * @throws {PluginError} `refused`, with the plugin's message
 */
export function readRequestAnswer(answer: Readonly<Record<string, unknown>>): RequestAnswer {
  if (answer['result'] === 'oidc_login') {
    const { provider, msg } = parse(loginAnswer, answer)
    return { kind: 'login', provider, message: oneLine(msg) }
  }
  throwRefusal(answer)
  expectOk(answer)
  const { credential, state } = parse(credentialAnswer, answer)
  const problems: string[] = []
  const entries = credential.flatMap((entry, index) => {
    const read = readEntry(entry)
    if (typeof read !== 'string') return [read]
    problems.push(`entry ${index + 1} was left out: ${read}`)
    return []
  })
  return { kind: 'credential', entries, state, problems }
}

/**
 * Checks the answer to `revoke`.
 *
 * @throws {AnswerError} the answer is invalid
 * @throws {PluginError} `refused`, with the plugin's message
 */
export function readRevokeAnswer(answer: Readonly<Record<string, unknown>>): void {
  throwRefusal(answer)
  expectOk(answer)
}

function throwRefusal(answer: Readonly<Record<string, unknown>>): void {
  if (answer['result'] !== 'error') return
  const { user_msg, log_msg } = parse(errorAnswer, answer)
  throw new PluginError('refused', oneLine(user_msg) || userMessages.hadError, {
    cause: new AnswerError(`the plugin says: ${oneLine(log_msg ?? user_msg)}`),
  })
}

function expectOk(answer: Readonly<Record<string, unknown>>): void {
  if (answer['result'] !== 'ok') throw new AnswerError('`result` must be ok, error or oidc_login')
}

function parse<Output>(schema: z.ZodType<Output>, answer: unknown): Output {
  const parsed = schema.safeParse(answer, { error: validationWords })
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new AnswerError(`\`${issue?.path.join('.') ?? ''}\`: ${issue?.message ?? 'is invalid'}`)
}

/** Returns an entry, or why it cannot be used. */
function readEntry(entry: unknown): CredentialEntry | string {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry))
    return 'it is not an object'
  const { name, type, value, save_as, rows, cols } = entry as Record<string, unknown>
  if (type !== 'text' && type !== 'textarea' && type !== 'textfile')
    return type === undefined ? 'it has no type' : 'its type is not text, textarea or textfile'
  if (typeof name !== 'string' || name === '') return 'it has no name'
  const text = readValue(value, type)
  if (text === undefined)
    return value === undefined ? 'it has no value' : 'its value is nested too deep'
  return {
    name: oneLine(name),
    type,
    value: text,
    ...(isFileName(save_as) ? { saveAs: save_as } : {}),
    ...(isSize(rows) ? { rows } : {}),
    ...(isSize(cols) ? { cols } : {}),
  }
}

/**
 * Returns a value as text; undefined if there is none. The pieces of a textfile are joined unchanged, because each has
 * its own line end. WaTTS showed lists and objects in Erlang's notation; here they are JSON.
 */
function readValue(value: unknown, type: CredentialEntry['type']): string | undefined {
  if (typeof value === 'string') return value
  if (value === undefined || !isShallowValue(value)) return undefined
  if (type === 'textfile' && Array.isArray(value))
    return value.map((piece) => readValue(piece, 'text')).join('')
  return JSON.stringify(value)
}

/** Clients save files under this name, so it must not lead out of their directory. */
function isFileName(name: unknown): name is string {
  return typeof name === 'string' && /^[\w @+=,-][\w. @+=,-]{0,254}$/.test(name)
}

function isSize(size: unknown): size is number {
  return typeof size === 'number' && Number.isInteger(size) && size > 0 && size <= 10_000
}

// oxlint-disable-next-line no-control-regex -- these are removed
const CONTROL = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+/g

/** Returns a text from outside as one line of at most 2000 characters, without control characters. */
export function oneLine(text: string): string {
  return text.slice(0, 2000).replace(CONTROL, ' ').trim().toWellFormed()
}

/** Tests an executable against the protocol, check by check, for those who write or install one. */
import { type ParameterSets, type PluginCaller, PluginError } from '../plugin.ts'
import { CommandError, programCommand } from './command.ts'
import { expandHome } from './home-directory.ts'
import { encodeInput, encodeParameterInput, type PluginAction, wattsUserId } from './input.ts'
import { checkRequestParams, readParameterSets, resolveConfParams } from './parameters.ts'
import {
  AnswerError,
  oneLine,
  readParameterAnswer,
  readRequestAnswer,
  readRevokeAnswer,
  requestChannel,
} from './protocol.ts'
import { type PluginLog, type Run, runPlugin, type RunOutcome } from './runner.ts'
import type { ExecutableSettings } from './settings.ts'

/** One line of the result. */
export interface PluginCheck {
  readonly check: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly detail: string
  readonly remedy?: string
}

/** All checks, and the program's answer to each action that was run. */
export interface PluginExamination {
  readonly checks: readonly PluginCheck[]
  readonly answers: Readonly<Record<string, unknown>>
}

export interface ExaminationOrder {
  readonly settings: ExecutableSettings
  readonly caller: PluginCaller
  /** Parameters of a request; undefined: no request is run. */
  readonly params: unknown
  /** State of a credential to revoke; undefined: no revocation is run. */
  readonly state: string | undefined
  readonly signal: AbortSignal
}

/** The results so far. */
interface Findings {
  readonly order: ExaminationOrder
  readonly checks: PluginCheck[]
  readonly answers: Record<string, unknown>
}

const SHAPES = 'See "The answers" in docs/plugins.md.'
const silent: PluginLog = { info: () => undefined, warn: () => undefined, error: () => undefined }

/**
 * Runs the action `parameter`, then a request and a revocation if the order asks for them. Never throws for a faulty
 * program.
 */
export async function examineExecutable(order: ExaminationOrder): Promise<PluginExamination> {
  const findings: Findings = { order, checks: [], answers: {} }
  const { checks, answers } = findings
  try {
    await programCommand(order.settings, undefined).catch((error: unknown) => {
      throw new CheckFailed('program', error)
    })
    checks.push(ok('program', order.settings.command.join(' ')))
    const known = await examineParameter(findings)
    if (order.params !== undefined || order.state !== undefined)
      checks.push(ok('watts_userid', wattsUserId(order.caller)))
    if (order.params !== undefined) await examineRequest(findings, known)
    if (order.state !== undefined) await examineRevoke(findings, known)
  } catch (error) {
    if (!(error instanceof CheckFailed)) throw error
    checks.push(failure(error))
  }
  return { checks, answers }
}

interface Known {
  readonly by: Run['by']
  readonly confParams: Readonly<Record<string, boolean | string>>
  readonly sets: ParameterSets
}

async function examineParameter(findings: Findings): Promise<Known> {
  const { checks, order } = findings
  const answer = await run(findings, 'parameter', {
    input: encodeParameterInput(),
    by: 'argument',
  })
  const declared = must('parameter answer', () => readParameterAnswer(answer))
  checks.push(ok('parameter answer', `version ${declared.version}`))
  const by = requestChannel(declared, order.settings)
  checks.push(
    by === 'stdin'
      ? ok('features.stdin', 'requests come on standard input')
      : {
          check: 'features.stdin',
          state: 'warning',
          detail: 'requests come as an argument, which other users of the machine can read',
          remedy:
            'Read standard input and answer `"features": {"stdin": true}`. If the program reads standard input but cannot say so, set reads_stdin: true (--stdin). Otherwise the service needs allow_insecure_plugins: true.',
        },
  )
  const { conf_params: configured } = order.settings
  const { values: resolved, unknown } = must('conf_params', () =>
    resolveConfParams(declared.confParams, configured),
  )
  const values = await expandHome(resolved, order.settings).catch((error: unknown) => {
    throw new CheckFailed('conf_params', error)
  })
  const names = Object.entries(values).map(([name, value]) => `${name}=${String(value)}`)
  checks.push(ok('conf_params', names.join(', ') || 'none'))
  for (const name of unknown)
    checks.push({
      check: 'conf_params',
      state: 'warning',
      detail: `${name} is not declared by the program`,
      remedy: 'Check the spelling.',
    })
  const sets = must('request_params', () => readParameterSets(declared.requestParams))
  checks.push(ok('request_params', sets.map(describeSet).join(' or ')))
  return { by, confParams: values, sets }
}

function describeSet(set: ParameterSets[number]): string {
  const keys = set.map(({ key, mandatory }) => (mandatory ? key : `[${key}]`))
  return keys.length === 0 ? 'none' : keys.join(' ')
}

async function examineRequest(findings: Findings, known: Known): Promise<void> {
  const { checks, order } = findings
  const params = must(
    'params',
    () => checkRequestParams(known.sets, order.params),
    'Give the keys of one set of request_params, including all mandatory ones: --params JSON.',
  )
  const input = { ...inputOf(order, known), params, credState: undefined }
  const answer = await run(findings, 'request', {
    input: encodeInput('request', input),
    by: known.by,
  })
  const read = must('request answer', () => readRequestAnswer(answer))
  if (read.kind === 'login') {
    checks.push(ok('request answer', `a login at ${read.provider} is required: ${read.message}`))
    return
  }
  const { entries, problems, state } = read
  const names = entries.map(({ name, type }) => `${name} (${type})`).join(', ')
  checks.push(ok('request answer', `${entries.length} entries: ${names || 'none'}`))
  for (const detail of problems)
    checks.push({ check: 'request answer', state: 'failed', detail, remedy: SHAPES })
  checks.push(
    ok('state', `${JSON.stringify(state)}: must differ at the next request of the same user`),
  )
}

async function examineRevoke(findings: Findings, known: Known): Promise<void> {
  const { order } = findings
  const input = { ...inputOf(order, known), params: {}, credState: order.state }
  const answer = await run(findings, 'revoke', {
    input: encodeInput('revoke', input),
    by: known.by,
  })
  must('revoke answer', () => readRevokeAnswer(answer))
  findings.checks.push(ok('revoke answer', 'revoked'))
}

function inputOf({ caller, settings }: ExaminationOrder, { by, confParams }: Known) {
  const passAccessToken = settings.pass_access_token && by === 'stdin'
  return { caller, confParams, passAccessToken }
}

async function run(
  { order, checks, answers }: Findings,
  action: PluginAction,
  request: Pick<Run, 'input' | 'by'>,
): Promise<RunOutcome['answer']> {
  const { settings, signal } = order
  const ask: Run = { ...request, action, secrets: [], signal }
  const runner = { id: 'test', settings, log: silent }
  const outcome = await runPlugin(runner, ask).catch((error: unknown) => {
    throw new CheckFailed(`${action} run`, error)
  })
  answers[action] = isShowable(outcome.answer) ? outcome.answer : 'nested too deep to be shown'
  checks.push(ok(`${action} run`, `one JSON object after ${outcome.durationMs} ms`))
  checks.push(...warningsOf(action, outcome))
  return outcome.answer
}

/** A value that could be parsed may still be nested too deep to be serialised. */
function isShowable(answer: object): boolean {
  try {
    return JSON.stringify(answer, null, 2).length > 0
  } catch {
    return false
  }
}

function warningsOf(action: string, { end, stderr }: RunOutcome): PluginCheck[] {
  const { exitCode, exitSignal, leftChildren } = end
  const warnings: { readonly detail: string; readonly remedy: string }[] = []
  if (exitCode !== 0)
    warnings.push({
      detail: exitSignal === null ? `it exited with ${exitCode}` : `it was killed by ${exitSignal}`,
      remedy: 'Exit with 0 once the answer is printed, also when it is an error.',
    })
  if (leftChildren)
    warnings.push({
      detail: 'it left a process behind, which was killed',
      remedy: 'Wait for every process that the program starts.',
    })
  if (stderr !== '')
    warnings.push({
      detail: `it wrote to standard error: ${stderr.slice(-500)}`,
      remedy:
        'Standard error goes to the log of the service. If that is intended, nothing needs to be done.',
    })
  return warnings.map((warning) => ({ check: `${action} run`, state: 'warning', ...warning }))
}

/** A failed check, after which no further check is possible. */
class CheckFailed extends Error {
  readonly check: string
  readonly remedy: string | undefined

  constructor(check: string, cause: unknown, remedy?: string) {
    super(check, { cause })
    this.name = 'CheckFailed'
    this.check = check
    this.remedy = remedy
  }
}

function must<Result>(check: string, work: () => Result, remedy?: string): Result {
  try {
    return work()
  } catch (error) {
    throw new CheckFailed(check, error, remedy)
  }
}

function failure({ check, cause, remedy }: CheckFailed): PluginCheck {
  if (cause instanceof CommandError)
    return { check, state: 'failed', detail: cause.message, remedy: cause.remedy }
  if (cause instanceof AnswerError)
    return { check, state: 'failed', detail: describeOutput(cause), remedy: remedy ?? SHAPES }
  if (!(cause instanceof PluginError)) throw cause
  if (cause.code === 'refused')
    return {
      check,
      state: 'failed',
      detail: `the program refuses the request; message for callers: ${cause.message}`,
      remedy:
        cause.cause instanceof Error
          ? `The program says for the log: ${cause.cause.message}`
          : 'Find out why the program refuses.',
    }
  // The cause is the actual problem; the message is for callers.
  if (cause.cause instanceof Error) return failure(new CheckFailed(check, cause.cause, remedy))
  return { check, state: 'failed', detail: cause.message, remedy: remedy ?? SHAPES }
}

function describeOutput({ message, output }: AnswerError): string {
  const printed = oneLine((output ?? Buffer.alloc(0)).subarray(0, 300).toString('utf8'))
  return printed === '' ? message : `${message}; it printed: ${printed}`
}

function ok(check: string, detail: string): PluginCheck {
  return { check, state: 'ok', detail }
}

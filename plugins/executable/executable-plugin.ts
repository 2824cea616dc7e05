/** Runs an executable that speaks the WaTTS plugin protocol as a plugin of this service. */
import { createFairQueue, type FairQueue, QueueFullError } from '../fair-queue.ts'
import { type PluginAnswer, type PluginCaller, PluginError } from '../plugin.ts'
import { encodeInput } from './input.ts'
import { checkRequestParams, type ConfParams } from './parameters.ts'
import {
  AnswerError,
  oneLine,
  readRequestAnswer,
  readRevokeAnswer,
  type RequestAnswer,
  userMessages,
} from './protocol.ts'
import {
  hideSecrets,
  type PluginLog,
  type Run,
  type Runner,
  type RunOutcome,
  runPlugin,
} from './runner.ts'
import type { ExecutableSettings } from './settings.ts'
import { type ExecutableStatus, logStatus, readStatus, startingStatus } from './status.ts'

export interface ExecutablePlugin {
  readonly id: string
  /**
   * Asks the program for its parameters. Must be called before any request, and again after a change of the program.
   * A program that fails disables the plugin; this is not reported as an error here.
   *
   * @throws the signal's reason
   */
  start(signal: AbortSignal): Promise<ExecutableStatus>
  readonly status: ExecutableStatus
  /** @throws {PluginError} `invalid_parameters` (the keys do not match any of the parameter sets) */
  checkParameters(params: unknown): Readonly<Record<string, unknown>>
  /**
   * @throws {PluginError} `refused`, `failed`, `overloaded`, `timeout`
   * @throws the signal's reason
   */
  request(
    caller: PluginCaller,
    params: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<PluginAnswer>
  /** @throws as `request` */
  revoke(caller: PluginCaller, state: string, signal: AbortSignal): Promise<void>
  /** Number of running and waiting requests, for the metrics. */
  readonly load: Pick<FairQueue, 'running' | 'waiting'>
}

/** @param id id of the service, for the log */
export function createExecutablePlugin(
  id: string,
  settings: ExecutableSettings,
  { log }: { readonly log: PluginLog },
): ExecutablePlugin {
  const runner = { id, settings, log }
  const queue = createRunQueue(settings)
  let status: ExecutableStatus = startingStatus

  /** Queues and runs one request; returns the answer with secrets removed. */
  const ask = async (
    action: 'request' | 'revoke',
    request: ProgramRequest,
    signal: AbortSignal,
  ): Promise<RunOutcome['answer']> => {
    if (status.state === 'disabled') throw unusable(status)
    const { by, confParams } = status
    const passAccessToken = settings.pass_access_token && by === 'stdin'
    const input = encodeInput(action, {
      ...request,
      confParams: confParams.values,
      passAccessToken,
    })
    const secrets = secretsOf(request.caller, confParams)
    const run: Run = { action, input, by, secrets, signal }
    const { issuer, sub } = request.caller
    const inTurn = queue.run(JSON.stringify([issuer, sub]), signal, () => runPlugin(runner, run))
    const { answer } = await inTurn.catch((error: unknown) => {
      throw error instanceof QueueFullError ? overloaded(settings) : error
    })
    return withoutSecrets(answer, secrets)
  }

  return {
    id,
    async start(signal) {
      const before = status
      status = await readStatus(runner, signal)
      logStatus(runner, status, before)
      return status
    },
    get status() {
      return status
    },
    load: queue,
    checkParameters(params) {
      return checkRequestParams(status.state === 'ready' ? status.parameterSets : [], params)
    },
    async request(caller, params, signal) {
      const answer = await ask('request', { caller, params, credState: undefined }, signal)
      return toPluginAnswer(
        runner,
        parseAnswer(runner, 'request', () => readRequestAnswer(answer)),
      )
    },
    async revoke(caller, state, signal) {
      const answer = await ask('revoke', { caller, params: {}, credState: state }, signal)
      parseAnswer(runner, 'revoke', () => readRevokeAnswer(answer))
    },
  }
}

/** One user can occupy neither all runs nor the whole queue. */
function createRunQueue({
  parallel_runner: runner,
  maximum_waiting: waiting,
}: ExecutableSettings): FairQueue {
  const parallel = runner === 'infinite' ? Infinity : runner
  return createFairQueue({
    parallel,
    parallelPerKey: Math.min(Math.max(parallel - 1, 1), MAX_RUNS_OF_ONE_USER),
    waiting,
    waitingPerKey: Math.ceil(waiting * WAITING_SHARE_OF_ONE_USER),
  })
}

const MAX_RUNS_OF_ONE_USER = 16
const WAITING_SHARE_OF_ONE_USER = 1 / 8

function unusable({
  starting,
  reason,
}: Extract<ExecutableStatus, { readonly state: 'disabled' }>): PluginError {
  return starting === true
    ? new PluginError('overloaded', userMessages.starting, { retryAfterSeconds: 5 })
    : new PluginError('failed', userMessages.hadError, { cause: new Error(reason) })
}

function overloaded({ timeout_seconds: timeout }: ExecutableSettings): PluginError {
  const retryAfterSeconds = Math.ceil(Math.min(timeout, 30))
  return new PluginError('overloaded', userMessages.overloaded, { retryAfterSeconds })
}

interface ProgramRequest {
  readonly caller: PluginCaller
  readonly params: Readonly<Record<string, unknown>>
  readonly credState: string | undefined
}

/** Parses an answer. Logs what is wrong with it; the caller gets only a general message. */
function parseAnswer<Answer>(
  { id, log }: Pick<Runner, 'id' | 'log'>,
  action: string,
  read: () => Answer,
): Answer {
  try {
    return read()
  } catch (error) {
    if (error instanceof PluginError) {
      const reason = error.cause instanceof Error ? error.cause.message : undefined
      log.info({ plugin: id, action, reason }, 'plugin.refused')
      throw error
    }
    if (!(error instanceof AnswerError)) throw error
    log.error({ plugin: id, action, reason: error.message }, 'plugin.bad_answer')
    throw new PluginError('failed', error.userMessage, { cause: error })
  }
}

function toPluginAnswer(
  { id, log }: Pick<Runner, 'id' | 'log'>,
  answer: RequestAnswer,
): PluginAnswer {
  if (answer.kind === 'login') return answer
  const { entries, state, problems } = answer
  if (problems.length > 0)
    log.warn({ plugin: id, count: problems.length, problems }, 'plugin.entries_left_out')
  const warnings =
    problems.length === 0
      ? []
      : [`${problems.length} of the plugin's entries could not be read, contact the administrator`]
  // The protocol has no field for an expiry.
  return { kind: 'credential', entries, notAfter: undefined, warnings, state }
}

function secretsOf(caller: PluginCaller, { values }: ConfParams): readonly string[] {
  const tokens = [caller, ...caller.additionalLogins].map(({ accessToken }) => accessToken ?? '')
  const configured = Object.entries(values).flatMap(([name, value]) =>
    /(pass(word|phrase|wd)?|secret|token|key)$/.test(name) &&
    typeof value === 'string' &&
    value.length > 3
      ? [value]
      : [],
  )
  return [...tokens, ...configured].filter((secret) => secret !== '')
}

/** Removes secrets from the plugin's messages, which go to callers and logs. */
function withoutSecrets(
  answer: RunOutcome['answer'],
  secrets: readonly string[],
): RunOutcome['answer'] {
  const clean = { ...answer }
  for (const key of ['user_msg', 'log_msg', 'msg']) {
    const text = clean[key]
    if (typeof text === 'string') clean[key] = oneLine(hideSecrets(text, secrets))
  }
  return clean
}

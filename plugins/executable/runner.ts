/** Runs a plugin's program once, in its own directory with a clean environment, and logs how it ended. */
import { PluginError } from '../plugin.ts'
import { PROGRAM_PATH } from '../process/process-tree.ts'
import { CommandError, programCommand } from './command.ts'
import type { PluginAction } from './input.ts'
import { openIsolation } from './isolation.ts'
import { type ProcessEnd, type ProcessLimits, runProcess } from './process.ts'
import { AnswerError, parseOutput, userMessages } from './protocol.ts'
import { makeRunDirectory, type RunDirectory } from './run-directory.ts'
import type { ExecutableSettings } from './settings.ts'
import { startProblem, systemReason } from './start-problem.ts'
import { openStreams } from './streams.ts'

/** The log of runs; a pino logger has this type. */
export interface PluginLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** How to run a plugin. */
export interface Runner {
  readonly id: string
  readonly settings: ExecutableSettings
  readonly log: PluginLog
}

/** One run. */
export interface Run {
  readonly action: PluginAction
  /** base64url of the request. */
  readonly input: string
  readonly by: 'argument' | 'stdin'
  /** Secrets that must not reach a log, even if the program prints them. */
  readonly secrets: readonly string[]
  readonly signal: AbortSignal
}

/** The result of a run: an object with `result`, and how the program ended. */
export interface RunOutcome {
  readonly answer: Readonly<Record<string, unknown>>
  readonly output: Buffer
  readonly end: ProcessEnd
  readonly stderr: string
  readonly durationMs: number
}

const KEPT_ERROR_BYTES = 8192
const GRACE_MS = 1000
const DRAIN_MS = 250

/**
 * Runs the program once.
 *
 * @throws {PluginError} `failed` or `timeout`, with a `CommandError` or `AnswerError` as the cause
 * @throws the signal's reason, if it is aborted
 */
export async function runPlugin(runner: Runner, run: Run): Promise<RunOutcome> {
  const { settings } = runner
  run.signal.throwIfAborted()
  const started = performance.now()
  const end = await runInDirectory(runner, run).catch((error: unknown) => {
    throw cannotRun(runner, run, error)
  })
  const durationMs = Math.round(performance.now() - started)
  const stderr = readable(end, [run.input, ...run.secrets])
  logEnd(runner, run, { end, stderr, durationMs })
  if (end.stopped === 'aborted') throw run.signal.reason
  if (end.stopped === 'timeout')
    throw new PluginError('timeout', userMessages.timedOut, {
      cause: new CommandError(
        `it was stopped after ${settings.timeout_seconds} seconds`,
        'Find out why it hangs, or raise timeout_seconds.',
      ),
    })
  if (end.stopped === 'flood')
    throw failed(
      new CommandError(
        `it was stopped because it wrote more than ${settings.maximum_output_bytes} bytes`,
        'Check what it prints, or raise maximum_output_bytes.',
      ),
    )
  try {
    return { answer: parseOutput(end.stdout), output: end.stdout, end, stderr, durationMs }
  } catch (error) {
    throw error instanceof AnswerError ? failed(withEnd(error, end, stderr)) : error
  }
}

async function runInDirectory({ settings, log }: Runner, run: Run): Promise<ProcessEnd> {
  const command = await programCommand(settings, run.by === 'argument' ? run.input : undefined)
  const isolation = await openIsolation(settings)
  const directory = await makeRunDirectory(settings.working_directory, isolation)
  try {
    const input = run.by === 'stdin' ? run.input : undefined
    const env = {
      PATH: PROGRAM_PATH,
      LANG: 'C.UTF-8',
      HOME: directory.path,
      TMPDIR: directory.path,
      ...settings.environment,
    }
    const { asUser, account } = isolation
    const wrapped = await isolation.wrap(command, directory.path)
    const streams = await openStreams(directory.path, input, { owner: account })
    await directory.handOver().catch((error: unknown) => {
      streams.closeChildEnds()
      streams.destroy()
      throw error
    })
    const start = {
      ...wrapped,
      cwd: directory.path,
      env,
      streams,
      input,
      signal: run.signal,
      asUser,
    }
    return await runProcess(start, limitsOf(settings))
  } finally {
    await remove(directory, log)
  }
}

async function remove(directory: RunDirectory, log: PluginLog): Promise<void> {
  await directory.remove().catch((error: unknown) => {
    // Not fatal: a program may remove its own permissions, and its answer is still good.
    const reason = systemReason(error)
    log.warn({ directory: directory.path, reason }, 'plugin.directory_left')
  })
}

function limitsOf(settings: ExecutableSettings): ProcessLimits {
  return {
    timeoutMs: settings.timeout_seconds * 1000,
    maximumOutputBytes: settings.maximum_output_bytes,
    keptErrorBytes: KEPT_ERROR_BYTES,
    graceMs: GRACE_MS,
    drainMs: DRAIN_MS,
  }
}

function failed(cause: Error): PluginError {
  const message = cause instanceof AnswerError ? cause.userMessage : userMessages.hadError
  return new PluginError('failed', message, { cause })
}

/** Adds how the program ended, which usually explains an unusable answer. */
function withEnd(error: AnswerError, end: ProcessEnd, stderr: string): AnswerError {
  const how = howEnded(end)
  const last = stderr.trimEnd().split('\n').at(-1) ?? ''
  const suffix = last === '' ? '' : `; the last line of its standard error: ${last.slice(0, 300)}`
  const { userMessage, shown } = error
  const output = end.stdout
  return new AnswerError(`${error.message} (${how}${suffix})`, { userMessage, shown, output })
}

function howEnded({ exitCode, exitSignal }: ProcessEnd): string {
  return exitSignal === null ? `exit code ${exitCode ?? 'unknown'}` : `killed by ${exitSignal}`
}

function cannotRun({ id, log }: Runner, { action }: Run, error: unknown): PluginError {
  const cause = error instanceof CommandError ? error : startProblem(error)
  log.error({ plugin: id, action, reason: cause.message, remedy: cause.remedy }, 'plugin.not_run')
  return failed(cause)
}

/** Returns standard error for the log: without control characters, the request and secrets. */
function readable({ stderr, stderrCut }: ProcessEnd, secrets: readonly string[]): string {
  let text = stderr.toString('utf8')
  // The first word may be the rest of a secret, which could not be recognised.
  if (stderrCut) text = `[…]${text.replace(/^\S*/, '')}`
  return (
    hideSecrets(text, secrets)
      .replace(/\r\n?/g, '\n')
      // oxlint-disable-next-line no-control-regex -- these are removed
      .replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, ' ')
      .trimEnd()
  )
}

/** Replaces secrets in a text. */
export function hideSecrets(text: string, secrets: readonly string[]): string {
  return secrets
    .filter((secret) => secret !== '')
    .reduce((clean, secret) => clean.replaceAll(secret, '[hidden]'), text)
}

function logEnd(
  { id, log }: Runner,
  { action }: Run,
  { end, stderr, durationMs }: Pick<RunOutcome, 'end' | 'stderr' | 'durationMs'>,
): void {
  const { exitCode, exitSignal, stopped, leftChildren } = end
  const fields = {
    plugin: id,
    action,
    exit_code: exitCode,
    exit_signal: exitSignal,
    duration_ms: durationMs,
    ...(stopped === undefined ? {} : { stopped }),
    ...(leftChildren ? { left_children: true } : {}),
    ...(stderr === '' ? {} : { stderr }),
  }
  const isSuccess = stopped === undefined && exitCode === 0 && !leftChildren
  if (isSuccess) log.info(fields, 'plugin.run')
  else log.warn(fields, 'plugin.run')
}

/** Whether the program of a plugin can be used: asks it for its parameters when the service starts. */
import { type ParameterSets, PluginError } from '../plugin.ts'
import { CommandError } from './command.ts'
import { expandHome } from './home-directory.ts'
import { encodeParameterInput } from './input.ts'
import { exposure } from './isolation.ts'
import { type ConfParams, readParameterSets, resolveConfParams } from './parameters.ts'
import {
  AnswerError,
  type ParameterAnswer,
  readParameterAnswer,
  requestChannel,
} from './protocol.ts'
import { type Run, type Runner, runPlugin } from './runner.ts'
import type { ExecutableSettings } from './settings.ts'

/** Whether the plugin can be used, and the parameters that it declares. */
export type ExecutableStatus =
  | {
      readonly state: 'ready'
      readonly version: string
      readonly parameterSets: ParameterSets
      readonly confParams: ConfParams
      readonly developerEmail: string | undefined
      /** How requests reach the program. */
      readonly by: Run['by']
    }
  | {
      readonly state: 'disabled'
      /** For the operator: may contain what the program says for the log. */
      readonly reason: string
      /** For users. Default: the reason. */
      readonly shown?: string
      readonly remedy: string | undefined
      /** True until the program has answered `parameter` for the first time, or failed to. */
      readonly starting?: true
    }

/** Runs the action `parameter` and decides whether the settings permit the program. */
export async function readStatus(runner: Runner, signal: AbortSignal): Promise<ExecutableStatus> {
  const { settings } = runner
  const { start_timeout_seconds: startSeconds = settings.timeout_seconds } = settings
  try {
    const input = encodeParameterInput()
    const run: Run = { action: 'parameter', input, by: 'argument', secrets: [], signal }
    const patient = { ...runner, settings: { ...settings, timeout_seconds: startSeconds } }
    const { answer } = await runPlugin(patient, run)
    const declared = readParameterAnswer(answer)
    const confParams = resolveConfParams(declared.confParams, settings.conf_params)
    return (
      refusedInput(declared, settings) ?? {
        state: 'ready',
        version: declared.version,
        parameterSets: readParameterSets(declared.requestParams),
        confParams: { ...confParams, values: await expandHome(confParams.values, settings) },
        developerEmail: declared.developerEmail,
        by: requestChannel(declared, settings),
      }
    )
  } catch (error) {
    if (error instanceof PluginError && error.code === 'timeout') return tooSlow(startSeconds)
    const cause = error instanceof PluginError ? error.cause : error
    if (cause instanceof CommandError) return disabled(cause.message, cause.remedy)
    if (cause instanceof AnswerError) {
      const { message, shown } = cause
      const status = disabled(message, 'Run `tts plugin test` on the program.')
      return shown === message ? status : { ...status, shown }
    }
    throw error
  }
}

/**
 * Refuses requests by argument unless they are allowed: every user of the machine can read the arguments of a program.
 */
function refusedInput(
  declared: ParameterAnswer,
  settings: ExecutableSettings,
): ExecutableStatus | undefined {
  if (requestChannel(declared, settings) === 'stdin') return undefined
  if (settings.pass_access_token)
    return disabled(
      'it reads requests from its argument, and an access token is never passed as an argument',
      'Set reads_stdin: true if the program reads standard input. Otherwise change the program, or set pass_access_token: false.',
    )
  if (settings.allow_insecure_plugins) return undefined
  return disabled(
    'it reads requests from its argument, which other users of the machine can see',
    'Set reads_stdin: true if the program reads standard input. Otherwise change the program, or set allow_insecure_plugins: true.',
  )
}

function disabled(reason: string, remedy?: string) {
  return { state: 'disabled', reason, remedy } as const
}

function tooSlow(seconds: number): ExecutableStatus {
  return disabled(
    `its program did not declare its parameters within ${seconds} seconds; it is asked again`,
    'Find out why the program is slow to start, or raise start_timeout_seconds.',
  )
}

/** Logs a status, unless a program that is asked again has failed for the same reason again. */
export function logStatus(
  { id, settings, log }: Runner,
  status: ExecutableStatus,
  before: ExecutableStatus,
): void {
  if (status.state === 'disabled') {
    const { reason, remedy } = status
    if (before.state === 'disabled' && before.reason === reason) return
    log.error({ plugin: id, reason, remedy }, 'plugin.disabled')
    return
  }
  const { version, by, confParams } = status
  const { user, sandbox } = settings
  const exposed = exposure(settings)
  log.info(
    { plugin: id, version, by, user, sandbox, ...(exposed === undefined ? {} : { exposed }) },
    'plugin.ready',
  )
  for (const name of confParams.unknown)
    log.warn(
      { plugin: id, name, remedy: 'Remove it from conf_params.' },
      'plugin.unknown_conf_param',
    )
}

/** The status until the program has answered for the first time. */
export const startingStatus: ExecutableStatus = {
  ...disabled('its program is starting'),
  starting: true,
}

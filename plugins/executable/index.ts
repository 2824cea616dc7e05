/** The plugin `executable`: a program that speaks the WaTTS protocol, one for each service. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { fitsSomeSet } from '../parameters.ts'
import type { Plugin } from '../plugin.ts'
import { createExecutablePlugin, type ExecutablePlugin } from './executable-plugin.ts'
import type { PluginLog } from './runner.ts'
import type { ExecutableSettings } from './settings.ts'

/** Waits between two attempts to start a program. */
const RETRY_FIRST_MS = 5_000
const RETRY_LONGEST_MS = 300_000

/** Where a plugin is opened. */
export interface PluginHost {
  readonly log: PluginLog
  /**
   * For the running service: a program that fails, or has not answered when this signal is aborted, is asked in the
   * background, until `close`. Undefined in commands: they wait for the one answer.
   */
  readonly patience: AbortSignal | undefined
}

type Parameters = Readonly<Record<string, unknown>>

/**
 * Starts the plugin of a service. A plugin that cannot be used has the reason in `problem`.
 *
 * @param service id of the service, for the log
 */
export async function startExecutable(
  service: string,
  settings: ExecutableSettings,
  { log, patience }: PluginHost,
): Promise<Plugin> {
  const executable = createExecutablePlugin(service, settings, { log })
  const closing = new AbortController()
  const { signal } = closing
  if (patience === undefined) await executable.start(signal)
  else await startInBackground(executable, { log, service, signal, patience })
  return asPlugin(executable, settings, () => closing.abort())
}

/** Asks a program until it is ready. Resolves after the first attempt, or when the patience ends. */
async function startInBackground(
  executable: ExecutablePlugin,
  background: {
    readonly log: PluginLog
    readonly service: string
    readonly signal: AbortSignal
    readonly patience: AbortSignal
  },
): Promise<void> {
  const { log, service, signal, patience } = background
  const first = executable.start(signal)
  const untilReady = async (): Promise<void> => {
    let { state } = await first
    for (let waitMs = RETRY_FIRST_MS; state !== 'ready'; waitMs *= 2) {
      await delay(Math.min(waitMs, RETRY_LONGEST_MS), undefined, { ref: false, signal })
      const status = await executable.start(signal)
      state = status.state
    }
  }
  untilReady().catch((error: unknown) => {
    if (signal.aborted) return
    const reason = error instanceof Error ? error.message : 'unknown'
    log.error({ plugin: service, reason }, 'plugin.start_failed')
  })
  const answered = first.then(() => true)
  if (
    await Promise.race([
      answered,
      patience.aborted ? false : once(patience, 'abort').then(() => false),
    ])
  )
    return
  const remedy = 'Its service is unavailable until the program has declared its parameters.'
  log.warn({ plugin: service, remedy }, 'plugin.starting')
}

function asPlugin(
  executable: ExecutablePlugin,
  settings: ExecutableSettings,
  close: () => void,
): Plugin {
  const parameterSets = (): Plugin['parameterSets'] => {
    const { status } = executable
    return status.state === 'ready' ? status.parameterSets : []
  }
  // Clients of WaTTS compare this message, so it must not change.
  const error = 'invalid parameter have been passed'
  const plugin: Plugin<z.ZodType<Parameters>> = {
    id: 'executable',
    description: 'Credential made by a program of this site',
    // Twice the timeout of a run, because other requests may be ahead in the queue.
    patienceSeconds: 2 * settings.timeout_seconds,
    parameters: z.custom<Parameters>((value) => hasKeysOfSomeSet(value, parameterSets()), {
      error,
    }),
    get parameterSets() {
      return parameterSets()
    },
    get problem() {
      const { status } = executable
      if (status.state === 'ready') return undefined
      const { reason: detail, shown = detail, remedy, starting = false } = status
      return { reason: shown, detail, remedy, starting }
    },
    request: ({ caller, signal }, parameters) => executable.request(caller, parameters, signal),
    revoke: ({ caller, signal }, state) => executable.revoke(caller, state, signal),
    close,
  }
  return plugin
}

/** Checks the keys only: values may be any JSON and reach the program unchanged. */
function hasKeysOfSomeSet(value: unknown, sets: Plugin['parameterSets']): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return fitsSomeSet(sets, Object.keys(value))
}

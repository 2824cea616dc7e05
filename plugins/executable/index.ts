/** The plugin `executable`: a program that speaks the WaTTS protocol, one for each service. */
import { z } from 'zod'
import { fitsSomeSet } from '../parameters.ts'
import type { Plugin } from '../plugin.ts'
import { createExecutablePlugin, type ExecutablePlugin } from './executable-plugin.ts'
import type { PluginLog } from './runner.ts'
import type { ExecutableSettings } from './settings.ts'

/** How long the start waits for a program to declare its parameters. */
const START_MS = 30_000

type Parameters = Readonly<Record<string, unknown>>

/**
 * Starts the plugin of a service. A plugin that cannot be used has the reason in `problem`.
 *
 * @param service id of the service, for the log
 */
export async function startExecutable(
  service: string,
  settings: ExecutableSettings,
  { log }: { readonly log: PluginLog },
): Promise<Plugin> {
  const executable = createExecutablePlugin(service, settings, { log })
  const late = AbortSignal.timeout(START_MS)
  await executable.start(late).catch((error: unknown) => {
    if (!late.aborted) throw error
  })
  return asPlugin(executable, settings)
}

function asPlugin(executable: ExecutablePlugin, settings: ExecutableSettings): Plugin {
  const { status } = executable
  const parameterSets = status.state === 'ready' ? status.parameterSets : []
  // Clients of WaTTS compare this message, so it must not change.
  const error = 'invalid parameter have been passed'
  const plugin: Plugin<z.ZodType<Parameters>> = {
    id: 'executable',
    description: 'Credential made by a program of this site',
    // Twice the timeout of a run, because other requests may be ahead in the queue.
    patienceSeconds: 2 * settings.timeout_seconds,
    parameters: z.custom<Parameters>((value) => hasKeysOfSomeSet(value, parameterSets), { error }),
    parameterSets,
    ...(status.state === 'disabled'
      ? { problem: { reason: status.reason, remedy: status.remedy } }
      : {}),
    request: ({ caller, signal }, parameters) => executable.request(caller, parameters, signal),
    revoke: ({ caller, signal }, state) => executable.revoke(caller, state, signal),
  }
  return plugin
}

/** Checks the keys only: values may be any JSON and reach the program unchanged. */
function hasKeysOfSomeSet(value: unknown, sets: Plugin['parameterSets']): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return fitsSomeSet(sets, Object.keys(value))
}

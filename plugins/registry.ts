/** The plugins by id. Adding one: write its folder, add its line here. */
import type { z } from 'zod'
import { startExecutable } from './executable/index.ts'
import type { PluginLog } from './executable/runner.ts'
import type { ExecutableSettings } from './executable/settings.ts'
import { info } from './info/index.ts'
import type { Plugin } from './plugin.ts'
import { sshCertificatePlugin } from './ssh-certificate/index.ts'
import { type SshCertificateSettings, sshCertificateSettings } from './ssh-certificate/settings.ts'
import { x509Certificate } from './x509-certificate/index.ts'
import { x509Proxy } from './x509-proxy/index.ts'

/** What a service says to its plugin. */
export interface PluginSettings {
  /** Id of the service. */
  readonly service: string
  readonly executable?: ExecutableSettings | undefined
  readonly settings?: SshCertificateSettings | undefined
}

type Opening = (settings: PluginSettings, host: { readonly log: PluginLog }) => Promise<Plugin>

const opened = async <Schema extends z.ZodType>(plugin: Plugin<Schema>): Promise<Plugin> => plugin

const openings = {
  'x509-proxy': () => opened(x509Proxy),
  'x509-certificate': () => opened(x509Certificate),
  'ssh-certificate': ({ settings }) =>
    opened(sshCertificatePlugin(settings ?? sshCertificateSettings.parse({}))),
  info: () => opened(info),
  executable: ({ service, executable }, host) => {
    if (executable === undefined) throw new TypeError('checked with the configuration')
    return startExecutable(service, executable, host)
  },
} satisfies Record<string, Opening>

export type PluginId = keyof typeof openings
export const pluginIds = Object.keys(openings) as [PluginId, ...PluginId[]]

/** The plugin of one service. */
export function openPlugin(
  id: PluginId,
  settings: PluginSettings,
  host: { readonly log: PluginLog },
): Promise<Plugin> {
  const opening: Opening = openings[id]
  return opening(settings, host)
}

/** The plugins by id. To add one, write its folder and add a line here. */
import type { z } from 'zod'
import { type PluginHost, startExecutable } from './executable/index.ts'
import type { ExecutableSettings } from './executable/settings.ts'
import { info } from './info/index.ts'
import type { Plugin } from './plugin.ts'
import { sshCertificatePlugin } from './ssh-certificate/index.ts'
import { type SshCertificateSettings, sshCertificateSettings } from './ssh-certificate/settings.ts'
import { x509Certificate } from './x509-certificate/index.ts'
import { X509_PROXY, x509ProxyPlugin } from './x509-proxy/index.ts'

/** A service's settings for its plugin. */
export interface PluginSettings {
  /** Id of the service. */
  readonly service: string
  readonly executable?: ExecutableSettings | undefined
  readonly settings?: SshCertificateSettings | undefined
  /** Names of the VOs whose attributes this service issues. */
  readonly vos: readonly string[]
}

type PluginOpener = (settings: PluginSettings, host: PluginHost) => Promise<Plugin>

const opened = async <Schema extends z.ZodType>(plugin: Plugin<Schema>): Promise<Plugin> => plugin

const openers = {
  [X509_PROXY]: ({ vos }) => opened(x509ProxyPlugin(vos)),
  'x509-certificate': () => opened(x509Certificate),
  'ssh-certificate': ({ settings }) =>
    opened(sshCertificatePlugin(settings ?? sshCertificateSettings.parse({}))),
  info: () => opened(info),
  executable: ({ service, executable }, host) => {
    if (executable === undefined)
      throw new TypeError('the configuration check requires `executable`')
    return startExecutable(service, executable, host)
  },
} satisfies Record<string, PluginOpener>

export type PluginId = keyof typeof openers
export const pluginIds = Object.keys(openers) as [PluginId, ...PluginId[]]

/** Opens the plugin of one service. An executable that cannot be used is opened, too, and says so in `problem`. */
export function openPlugin(
  id: PluginId,
  settings: PluginSettings,
  host: PluginHost,
): Promise<Plugin> {
  const openById: PluginOpener = openers[id]
  return openById(settings, host)
}

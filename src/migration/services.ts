/** Converts the services of a watts.conf, each to a service with the plugin `executable`. */
import { isAbsolute } from 'node:path'
import { idPattern } from '../config/id-pattern.ts'
import type { Tree } from '../config/settings-tree.ts'
import { importConnection } from './connection.ts'
import type { Reading } from './reading.ts'
import { importRules, type RuleProviders } from './rules.ts'
import { splitCommand } from './values.ts'
import { findWattsKey } from './watts-keys.ts'

/** Converts all services. */
export function importServices(reading: Reading, known: RuleProviders): Tree {
  const insecure = importInsecure(reading)
  const services = new Map<string, Tree>()
  for (const id of reading.ids('service').filter((each) => isService(reading, each))) {
    const ours = ourId(id)
    if (!idPattern.test(ours) || services.has(ours)) {
      reading.remark(
        'problem',
        `service.${id}`,
        `its id would be "${ours}", which is invalid or already used`,
      )
      continue
    }
    if (ours !== id)
      reading.remark(
        'changed',
        `service.${id}`,
        `its id is now ${ours} (at most 64 characters, the first one not a hyphen or dot): clients must use the new id`,
      )
    services.set(ours, importService({ reading, id, ours, known, insecure }))
  }
  if (services.size > 0) remarkPlugins(reading)
  return Object.fromEntries(services)
}

/**
 * Whether these lines made a service in WaTTS. Without description and command, WaTTS would not have started; a service
 * must not appear because of a misspelt id.
 */
function isService(reading: Reading, id: string): boolean {
  if (['description', 'cmd'].some((name) => reading.find(`service.${id}.${name}`))) return true
  const isKnown = reading.keysOf('service', id).some((words) => makesService(words))
  if (isKnown)
    reading.remark(
      'problem',
      `service.${id}`,
      'has neither description nor cmd, so it is no service here: correct the id if these lines belong to another service; WaTTS would not have started',
    )
  return false
}

/** The schema of WaTTS counts an id as a service for any key except these, and those that it does not know. */
function makesService(words: readonly string[]): boolean {
  const others = ['display_prio', 'cmd_env_use', 'cmd_env_var', 'mail_on_error_to']
  const { becomes } = findWattsKey(['service', 'id', ...words]) ?? {}
  return !others.includes(words[0] ?? '') && becomes !== undefined
}

function remarkPlugins(reading: Reading): void {
  reading.remark(
    'changed',
    'service',
    'plugins get the same watts_userid as from WaTTS, and the issuer as the provider publishes it. A value of a credential that is a list or an object is shown as JSON',
  )
}

const ourId = (id: string): string =>
  idPattern.test(id)
    ? id
    : id
        .replace(/[^A-Za-z0-9._-]/g, '-')
        .replace(/^[._-]+/, '')
        .slice(0, 64)

function importInsecure(reading: Reading): boolean {
  const insecure = reading.boolean(
    'allow_insecure_plugins',
    'services.ID.executable.allow_insecure_plugins',
  )
  const setting = reading.find('allow_insecure_plugins')
  if (setting !== undefined && insecure === true)
    reading.changed(
      setting,
      'services.ID.executable.allow_insecure_plugins',
      'set for every service: remove it from services whose plugin reads standard input',
    )
  return insecure ?? false
}

interface ServiceContext {
  readonly reading: Reading
  /** Id in WaTTS. */
  readonly id: string
  /** Id here. */
  readonly ours: string
  readonly known: RuleProviders
  readonly insecure: boolean
}

function importService(context: ServiceContext): Tree {
  const { reading, id, ours, known } = context
  const key = (name: string): string => `service.${id}.${name}`
  const to = (name: string): string => `services.${ours}.${name}`
  const description = reading.text(key('description'), to('description'))
  const priority = importPriority(reading, key('display_prio'), to('priority'))
  const limit = countOrInfinite(context, 'credential_limit', { name: 'credential_limit', least: 0 })
  const command = importCommand(context)
  const rules = importRules(reading, id, known)
  const hide = reading.boolean(key('authz.hide'), to('authz.hide'))
  const tooltip = reading.text(key('authz.tooltip'), to('authz.tooltip'))
  for (const name of ['description', 'cmd', 'connection.type'])
    if (reading.find(key(name)) === undefined)
      reading.remark('problem', key(name), 'is missing; WaTTS would not have started')
  const closed = command === undefined || rules.mustStayClosed
  return {
    plugin: 'executable',
    ...(closed && { enabled: false }),
    ...(description !== undefined && { description }),
    ...(priority !== undefined && { priority }),
    ...(limit !== undefined && { credential_limit: limit }),
    executable: { command: command ?? [placeholder(ours)], ...importRunning(context) },
    authz: {
      ...(tooltip !== undefined && { tooltip }),
      ...(hide !== undefined && { hide }),
      allow: rules.allow,
      ...(rules.forbid.length > 0 && { forbid: rules.forbid }),
    },
  }
}

function importPriority(reading: Reading, key: string, to: string): number | undefined {
  const setting = reading.find(key)
  if (setting?.value !== 'undefined')
    return reading.integer(key, to, { least: 0, most: 999_999_999 })
  reading.dropped(setting, 'undefined is the default: the service comes after those with a number')
  return undefined
}

/** Returns the path where the operator should put a script. */
const placeholder = (service: string): string => `/etc/tts/plugins/${service}`

/** Returns the command as a list of arguments; undefined if it needs a shell. */
function importCommand({ reading, id, ours }: ServiceContext): readonly string[] | undefined {
  const to = `services.${ours}.executable.command`
  const line = reading.text(`service.${id}.cmd`, to)
  const setting = reading.find(`service.${id}.cmd`)
  if (line === undefined || setting === undefined) return undefined
  const command = splitCommand(line)
  const [program = ''] = 'words' in command ? command.words : []
  const why =
    'needsShell' in command
      ? `it needs a shell (${command.needsShell})`
      : isAbsolute(program) || /^[\w.+-]+$/.test(program)
        ? undefined
        : 'the path of the program is relative'
  if (why === undefined && 'words' in command) {
    const builtIn = builtIns.find(([name]) => name.test(command.words.join(' ')))?.[1]
    if (builtIn !== undefined) reading.changed(setting, to, `runs as in WaTTS; ${builtIn}`)
    return command.words
  }
  reading.problem(
    setting,
    `${why}, which is not supported: put the line into a script with #!/bin/sh and exec, set ${to} to its absolute path, and set enabled: true`,
  )
  return undefined
}

/** Names of common plugins, and the built-in plugins that can replace them. */
const builtIns: readonly (readonly [RegExp, string])[] = [
  [/info(_plugin|\.py)\b|plugin_info/, 'the built-in plugin `info` returns the same'],
  [
    /x509|(^|[/_-])ca(\.py|_plugin)?( |$)|plugin_ca/i,
    'the built-in plugin `x509-certificate` returns the same entries with modern keys and hashes, from the CA of this service',
  ],
  [/ssh/i, 'the built-in plugin `ssh-certificate` needs no account for the service on each host'],
]

/** Converts everything of `executable` except the command. */
function importRunning(context: ServiceContext): Tree {
  const { reading, id, ours, insecure } = context
  const key = (name: string): string => `service.${id}.${name}`
  const to = (name: string): string => `services.${ours}.executable.${name}`
  const connection = importConnection(reading, id, ours)
  const timeout = importTimeout(reading, key('plugin_timeout'), to('timeout_seconds'))
  const parallel = countOrInfinite(context, 'parallel_runner', {
    name: 'executable.parallel_runner',
    least: 1,
  })
  const pass = importPassing(reading, key('pass_access_token'), to('pass_access_token'))
  const same = reading.boolean(key('allow_same_state'), to('allow_same_state'))
  const parameters = importParameters(context)
  return {
    ...(connection !== undefined && { connection }),
    ...(timeout !== undefined && { timeout_seconds: timeout }),
    ...(parallel !== undefined && { parallel_runner: parallel }),
    ...(pass !== undefined && { pass_access_token: pass }),
    ...(same !== undefined && { allow_same_state: same }),
    ...(insecure && { allow_insecure_plugins: true }),
    ...(Object.keys(parameters).length > 0 && { conf_params: parameters }),
  }
}

interface Counted {
  readonly name: string
  readonly least: number
}

function countOrInfinite(
  { reading, id, ours }: ServiceContext,
  name: string,
  { name: ourName, least }: Counted,
): number | 'infinite' | undefined {
  const key = `service.${id}.${name}`
  const to = `services.${ours}.${ourName}`
  const setting = reading.find(key)
  const most = name === 'parallel_runner' ? 1000 : 999_999_999
  if (setting?.value !== 'infinite') return reading.integer(key, to, { least, most })
  reading.carried(setting, to)
  return 'infinite'
}

function importTimeout(reading: Reading, key: string, to: string): number | undefined {
  const setting = reading.find(key)
  if (setting === undefined) {
    reading.remark(
      'changed',
      key,
      `is not set: a run may take 30 seconds (timeout_seconds), and so may the start (start_timeout_seconds). WaTTS waited without limit`,
    )
    return undefined
  }
  if (setting.value === 'infinity') {
    reading.changed(setting, to, 'every run has a time limit: 3600 seconds, which is the maximum')
    return 3600
  }
  const milliseconds = reading.duration(key, to)
  if (milliseconds === undefined) return undefined
  const seconds = Math.min(Math.max(milliseconds / 1000, 0.1), 3600)
  if (seconds * 1000 !== milliseconds)
    reading.changed(setting, to, `${seconds} seconds; the limits are 0.1 and 3600`)
  return seconds
}

function importPassing(reading: Reading, key: string, to: string): boolean | undefined {
  const pass = reading.boolean(key, to)
  const setting = reading.find(key)
  if (setting !== undefined && pass === true)
    reading.changed(
      setting,
      to,
      'the token goes to standard input only. If the plugin reads it there but does not declare that (features.stdin), set reads_stdin: true; WaTTS passed the token as an argument then, which every user of the machine could read',
    )
  return pass
}

function importParameters({ reading, id, ours }: ServiceContext): Tree {
  const to = `services.${ours}.executable.conf_params`
  const settings = reading.under('service', id, 'plugin').filter(({ words }) => words.length === 4)
  const parameters = settings.flatMap((setting): [string, string][] => {
    const name = setting.words[3] ?? ''
    if (!/^[a-z0-9_]{1,100}$/.test(name)) {
      reading.problem(
        setting,
        'a plugin cannot declare this parameter: names consist of lower-case letters, digits and _',
      )
      return []
    }
    if (/^~(?:\/|$)/.test(setting.value))
      reading.changed(
        setting,
        `${to}.${name}`,
        '~ is now the home directory of the user who runs the plugin: write the absolute path if the plugin has files in the home of the user of WaTTS',
      )
    else if (/pass|secret|token|key/.test(name))
      reading.changed(
        setting,
        `${to}.${name}`,
        'looks like a secret: keep the configuration file at mode 0600',
      )
    else reading.carried(setting, `${to}.${name}`)
    return [[name, setting.value]]
  })
  return Object.fromEntries(parameters)
}

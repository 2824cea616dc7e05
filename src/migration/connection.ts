/** Converts the connection of a WaTTS plugin. */
import { isAbsolute } from 'node:path'
import type { Tree } from '../config/settings-tree.ts'
import type { Reading } from './reading.ts'

const remoteKeys = ['user', 'host', 'port', 'ssh_dir', 'password', 'ssh_key_pass'] as const

/** Converts the connection of the service `id`, called `ours` here; undefined if the plugin runs on this host. */
export function importConnection(reading: Reading, id: string, ours: string): Tree | undefined {
  const key = (name: string): string => `service.${id}.connection.${name}`
  const to = (name: string): string => `services.${ours}.executable.connection.${name}`
  const type = reading.text(key('type'), to('type'))
  const setting = reading.find(key('type'))
  if (setting !== undefined && type !== 'local' && type !== 'ssh')
    reading.problem(setting, 'must be local or ssh')
  if (type !== 'ssh') {
    for (const name of remoteKeys) {
      const unused = reading.find(key(name))
      if (unused !== undefined) reading.dropped(unused, 'has no effect without connection.type ssh')
    }
    return undefined
  }
  const host = reading.text(key('host'), to('host'))
  const user = reading.text(key('user'), to('user'))
  const port = reading.integer(key('port'), to('port'), { least: 1, most: 65_535 })
  for (const [name, value] of Object.entries({ host, user }))
    if (value === undefined)
      reading.remark('problem', key(name), 'is missing; WaTTS would not have started')
  return {
    type: 'ssh',
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(user !== undefined && { user }),
    ...importKeyFiles(reading, key('ssh_dir'), { service: ours, to }),
  }
}

interface Naming {
  readonly service: string
  readonly to: (name: string) => string
}

/** Converts the directory where WaTTS looked for key and known hosts to two file settings. */
function importKeyFiles(reading: Reading, key: string, { service, to }: Naming): Tree {
  const path = reading.text(key, to('identity_file'))
  const setting = reading.find(key)
  const usable = path !== undefined && isAbsolute(path) && !/["$\\]/.test(path)
  const directory = usable ? path.replace(/\/+$/, '') : `/etc/tts/ssh/${service}`
  const content = 'a private key without a passphrase, and the key of the host, hashed or not'
  if (setting !== undefined && usable)
    reading.changed(
      setting,
      to('identity_file'),
      `and known_hosts_file: ${content}; check that the files have these names`,
    )
  else
    reading.remark(
      'problem',
      key,
      `WaTTS used the .ssh directory of its user: put both files into ${directory} (${content})`,
    )
  return { identity_file: `${directory}/id_rsa`, known_hosts_file: `${directory}/known_hosts` }
}

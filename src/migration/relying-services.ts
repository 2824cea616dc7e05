/** Converts the relying services (RSP) of a watts.conf. */
import type { Tree } from '../config/settings-tree.ts'
import type { Reading } from './reading.ts'

/** Converts the relying services by id; undefined if there are none, or if they were disabled. */
export function importRelyingServices(reading: Reading): Tree | undefined {
  const enabled = reading.boolean('enable_rsp', 'relying_services') ?? false
  const ids = reading.ids('rsp')
  if (!enabled) {
    for (const setting of reading.under('rsp'))
      reading.dropped(setting, 'not used by WaTTS, because enable_rsp is not true')
    return undefined
  }
  const services = ids.map((id) => [id, importOne(reading, id)] as const)
  return services.length === 0 ? undefined : Object.fromEntries(services)
}

function importOne(reading: Reading, id: string): Tree {
  const key = (name: string): string => `rsp.${id}.${name}`
  const to = (name: string): string => `relying_services.${id}.${name}`
  const location = reading.text(key('keys_location'), to('keys_location'))
  const base = reading.text(key('base_url'), to('base_url'))
  const show = reading.boolean(key('show_ui'), to('show_ui'))
  const login = reading.boolean(key('perform_login'), to('perform_login'))
  for (const [name, value] of Object.entries({ keys_location: location, base_url: base }))
    if (value === undefined)
      reading.remark('problem', key(name), 'is missing; WaTTS would not have started')
  return {
    ...(location !== undefined && { keys_location: location }),
    ...(base !== undefined && { base_url: base }),
    ...(show !== undefined && { show_ui: show }),
    ...(login !== undefined && { perform_login: login }),
  }
}

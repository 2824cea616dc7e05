/** What `tts check` says of programs that could do to the service what they like. */
import { exposure } from '../../plugins/executable/isolation.ts'
import type { ServiceSettings } from '../config/service-schema.ts'

/** A warning for each service whose program is not kept apart from the service. */
export function isolationChecks(services: Readonly<Record<string, ServiceSettings>>) {
  return Object.entries(services).flatMap(([id, { executable }]) => {
    const detail = executable && exposure(executable)
    if (detail === undefined) return []
    const remedy = `set services.${id}.executable.sandbox: bubblewrap; where the service runs as root, also user`
    return [{ check: `program of ${id}`, state: 'warning' as const, detail, remedy }]
  })
}

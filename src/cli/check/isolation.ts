/** The warnings of `tts check` about executables that are not isolated from the service. */
import { exposure } from '../../../plugins/executable/isolation.ts'
import type { ServiceSettings } from '../../config/service-schema.ts'
import type { Check } from './check.ts'

/** Returns a warning for each service whose executable could read or change the service's files or processes. */
export function isolationChecks(services: Readonly<Record<string, ServiceSettings>>): Check[] {
  return Object.entries(services).flatMap(([id, { executable }]) => {
    const detail = executable && exposure(executable)
    if (detail === undefined) return []
    const remedy = `Set services.${id}.executable.sandbox to bubblewrap. If the service runs as root, also set executable.user.`
    return [{ check: `program of ${id}`, state: 'warning', detail, remedy }]
  })
}

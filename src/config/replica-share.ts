/** Divides limits that each replica counts for itself. */
import type { LimitsSettings } from './schema.ts'

/** Rates and bursts of one caller. What protects a process (connections, queues) is not divided. */
const DIVIDED = [
  'requests_per_second_per_address',
  'burst_per_address',
  'credentials_per_second_per_identity',
  'burst_per_identity',
  'revocations_per_hour_per_identity',
  'opaque_tokens_per_second_per_address',
] as const
/** A burst below one would refuse everything. */
const WHOLE: ReadonlySet<string> = new Set([
  'burst_per_address',
  'burst_per_identity',
  'revocations_per_hour_per_identity',
])

/** Returns the limits for one of `limits.replicas` replicas: together they allow what the configuration says. */
export function limitsOfOneReplica(limits: LimitsSettings): LimitsSettings {
  const own = { ...limits }
  for (const name of DIVIDED) {
    const part = limits[name] / limits.replicas
    own[name] = WHOLE.has(name) ? Math.max(1, Math.floor(part)) : part
  }
  return own
}

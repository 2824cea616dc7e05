/** All scenarios by name. */
import { csrScenarios } from './csr.ts'
import { getProxyScenario } from './get-proxy.ts'
import { keyScenario } from './keys.ts'
import { renewalScenario } from './renewals.ts'
import type { Scenario } from './scenario.ts'
import { wattsScenario } from './watts.ts'

export const scenarios: ReadonlyMap<string, Scenario> = new Map(
  [...csrScenarios, keyScenario, getProxyScenario, wattsScenario, renewalScenario].map(
    (scenario) => [scenario.name, scenario],
  ),
)

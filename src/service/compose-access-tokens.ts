/** Makes the parts for access tokens, if they are enabled; see compose.ts. */
import type { LoadedConfiguration } from '../config/load.ts'
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import type { Configuration } from '../config/schema.ts'
import type { AccessTokenDependencies } from '../domain/access-tokens/issue-access-token.ts'
import { createTokenKeys } from '../domain/access-tokens/token-keys.ts'
import type { IssueDependencies } from '../domain/issuing/issue.ts'
import type { ProxyVerifierDependencies } from '../domain/possession/presented-proxy.ts'
import type { Store } from '../domain/store.ts'
import type { Log } from '../base/log.ts'

/** The parts that both functions use. */
interface Parts {
  readonly loaded: LoadedConfiguration
  readonly store: Store
  readonly now: () => Date
}

/** Returns what `issueAccessToken` needs; undefined when access tokens are disabled. */
export function accessTokensOf({
  loaded,
  issuing,
  others,
  store,
  now,
  log,
}: Parts & {
  readonly issuing: IssueDependencies
  readonly others: ProxyVerifierDependencies['others']
  readonly log: Log
}): AccessTokenDependencies | undefined {
  const settings = settingsOf(loaded)
  if (settings === undefined) return undefined
  const tokenKeys = createTokenKeys({ store, now, log })
  return { ...issuing, others, settings, tokenKeys }
}

function settingsOf({
  configuration,
}: LoadedConfiguration): AccessTokenDependencies['settings'] | undefined {
  const { access_tokens: section, listen } = configuration
  if (!section.enabled || listen.public_url === undefined) return undefined
  return {
    issuer: listen.public_url,
    audiences: section.audiences,
    scopes: section.scopes,
    maximumLifetimeSeconds: section.maximum_lifetime_seconds,
    groupsMaximumAgeSeconds: section.groups_maximum_age_seconds,
    groupsIssuer: groupsIssuerOf(configuration),
  }
}

/** The issuer whose groups count, without a trailing slash as in the records. */
function groupsIssuerOf({ access_tokens: section, providers }: Configuration): string | undefined {
  const id = section.groups_provider ?? Object.keys(providers)[0] ?? ''
  const issuer = providers[id]?.issuer
  return issuer === undefined ? undefined : withoutTrailingSlash(issuer)
}

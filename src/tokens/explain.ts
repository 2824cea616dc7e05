import { TtsError } from '../errors.ts'
import { audiencesOf, claimChecks, scopesOf, type Claims } from './claim-checks.ts'
import { checkScopes, checkUser, isClientOnly } from './identity-checks.ts'
import { checkIntrospection, fetchIntrospection } from './introspection.ts'
import { checkTokenText, readUnverified, verifySignature } from './jwt.ts'
import type { Provider } from './providers.ts'
import { fetchUserInfo, mergeUserInfo, wantsUserInfo } from './userinfo.ts'
import { findProvider, type TokenVerifier } from './verify-token.ts'

/** The outcome of one check, in words. */
export interface ExplainedCheck {
  readonly check: string
  readonly ok: boolean
  readonly detail: string
  /** What to do about it, when it failed. */
  readonly remedy?: string
}

/**
 * Runs every check on a token, without stopping at the first that fails where a later one still makes sense, and says
 * what came out. Names claims (issuer, audience, groups), never the token. For `tts check`.
 */
export async function explainToken(
  token: string,
  verifier: Pick<TokenVerifier, 'providers'>,
  now: Date,
): Promise<readonly ExplainedCheck[]> {
  const report = new Report()
  if (!(await report.run('format', () => checkTokenText(token), 'well-formed bearer token'))) {
    return report.checks
  }
  const unverified = readUnverified(token)
  if (unverified === undefined) {
    await explainOpaque(token, verifier.providers, { report, now })
    return report.checks
  }
  const { claims: unverifiedClaims } = unverified
  let provider: Provider | undefined
  await report.run(
    'issuer',
    () => (provider = findProvider(unverified, verifier.providers)),
    () => `issuer ${show(unverifiedClaims['iss'])} is provider ${provider?.id}`,
  )
  if (provider !== undefined) await explainSigned(token, provider, { report, now })
  return report.checks
}

interface Surroundings {
  readonly report: Report
  readonly now: Date
}

async function explainSigned(
  token: string,
  provider: Provider,
  { report, now }: Surroundings,
): Promise<void> {
  let claims: Claims | undefined
  await report.run(
    'signature',
    async () => {
      const signed = await verifySignature(token, provider, now)
      claims = signed.claims
      for (const { check, run } of claimChecks) {
        const context = { settings: provider.settings, now, headerType: signed.header.typ }
        await report.run(check, () => run(signed.claims, context), describe(check, signed.claims))
      }
    },
    'signed by a key of the provider',
  )
  if (claims === undefined) return
  const signed = claims
  if (provider.settings.introspect === 'always') {
    await report.run(
      'active',
      async () => {
        const answer = await fetchIntrospection(token, provider)
        claims = checkIntrospection(answer, provider, { now, signed })
      },
      'the provider says that the token is active',
    )
  }
  await explainRest(token, { provider, claims }, report)
}

async function explainOpaque(
  token: string,
  providers: readonly Provider[],
  { report, now }: Surroundings,
): Promise<void> {
  const asked = providers.filter(({ settings }) => settings.introspect !== 'never')
  if (asked.length === 0) {
    report.fail('active', 'not a JWT, and no provider has `introspect` switched on', {
      remedy: 'set introspect: opaque for the provider that issues such tokens',
    })
  }
  for (const provider of asked) {
    let claims: Claims | undefined
    await report.run(
      'active',
      async () => {
        const answer = await fetchIntrospection(token, provider)
        claims = checkIntrospection(answer, provider, { now })
      },
      `active at provider ${provider.id}`,
    )
    if (claims !== undefined) {
      await explainRest(token, { provider, claims }, report)
      return
    }
  }
}

async function explainRest(
  token: string,
  found: { readonly provider: Provider; readonly claims: Claims },
  report: Report,
): Promise<void> {
  const { settings } = found.provider
  let { claims } = found
  await report.run(
    'scope',
    () => checkScopes(claims, settings),
    () => describe('scope', claims),
  )
  if (wantsUserInfo(claims, settings)) {
    await report.run(
      'userinfo',
      async () => {
        const told = await fetchUserInfo(token, String(claims['sub']), found.provider)
        claims = mergeUserInfo(claims, told)
      },
      () => `UserInfo told: ${Object.keys(claims).join(', ')}`,
    )
  }
  // Last, since UserInfo may tell that a user is the service account of a client.
  await report.run(
    'user',
    () => checkUser(claims, settings),
    () => (isClientOnly(claims) ? 'speaks for a client, which is allowed' : 'speaks for a user'),
  )
  report.pass('claims', `claims for rules: ${Object.keys(claims).sort().join(', ')}`)
}

function describe(check: string, claims: Claims): string {
  switch (check) {
    case 'issuer':
      return `issuer ${show(claims['iss'])}`
    case 'subject':
      return `speaks for ${show(claims['sub'])}`
    case 'expired':
      return `expires ${showDate(claims['exp'])}`
    case 'not_yet_valid':
      return `issued ${showDate(claims['iat'])}`
    case 'audience':
      return `audience ${audiencesOf(claims).map(show).join(', ') || 'not named'}`
    case 'scope':
      return `scopes ${scopesOf(claims).map(show).join(' ') || 'not told'}`
    case 'type':
      return 'an access token'
    case 'profile_version':
      return `WLCG profile ${show(claims['wlcg.ver'] ?? 'not used')}`
    default:
      return 'in order'
  }
}

/** Claims come from outside: printable, and not too long. */
function show(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return (text ?? 'missing').slice(0, 200).replace(/[^\x20-\x7e]/g, '?')
}

function showDate(value: unknown): string {
  if (typeof value !== 'number' || Math.abs(value) > 1e11) return 'at no sensible time'
  return `at ${new Date(value * 1000).toISOString()}`
}

class Report {
  readonly checks: ExplainedCheck[] = []

  pass(check: string, detail: string): void {
    this.checks.push({ check, ok: true, detail })
  }

  fail(check: string, detail: string, { remedy }: { readonly remedy?: string | undefined }): void {
    this.checks.push({ check, ok: false, detail, ...(remedy !== undefined && { remedy }) })
  }

  /** Runs a check; its line comes before those that it adds itself. */
  async run(
    check: string,
    action: () => unknown,
    detail: string | (() => string),
  ): Promise<boolean> {
    const place = this.checks.length
    let line: ExplainedCheck
    try {
      await action()
      line = { check, ok: true, detail: typeof detail === 'string' ? detail : detail() }
    } catch (error) {
      if (!(error instanceof TtsError)) throw error
      const { message, remedy } = error
      const name = error.check ?? check
      line = { check: name, ok: false, detail: message, ...(remedy !== undefined && { remedy }) }
    }
    this.checks.splice(place, 0, line)
    return line.ok
  }
}

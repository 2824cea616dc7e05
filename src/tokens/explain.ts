import type { ProviderSettings } from '../config/provider-schema.ts'
import { TtsError } from '../base/errors.ts'
import { adviceOn } from './advice.ts'
import { checksBeforeIntrospection, claimChecks } from './claim-checks.ts'
import { audiencesOf, type Claims, scopesOf } from './claim-values.ts'
import {
  checkScopes,
  checkUser,
  type KnownClaims,
  requirePerson,
  speakerOf,
} from './identity-checks.ts'
import { checkIntrospection, fetchIntrospection } from './introspection.ts'
import { lookUpOpaque, lookupEndpoint } from './opaque-token.ts'
import { checkTokenText, readUnverified, type VerifiedJwt, verifyJwtSignature } from './jwt.ts'
import type { Provider } from './providers.ts'
import { refusal } from './refusals.ts'
import { providersOfIssuer } from './shared-issuer.ts'
import { kindOfJwt } from './token-kind.ts'
import { fetchUserInfo, mergeUserInfo, wantsUserInfo } from './userinfo.ts'
import { findProvider, type TokenVerifier } from './verify-token.ts'

/** The result of one check, in words. */
export interface ExplainedCheck {
  readonly check: string
  readonly ok: boolean
  readonly detail: string
  /** What to do when the check failed. */
  readonly remedy?: string
}

/**
 * Runs the checks of a token for `tts check` and describes their results. Goes on after a failure as long as later
 * checks make sense. The result holds claims (issuer, audience, groups) but never the token.
 */
export async function explainToken(
  token: string,
  verifier: Pick<TokenVerifier, 'providers' | 'maxTokenBytes'>,
  now: Date,
): Promise<readonly ExplainedCheck[]> {
  const report = new Report()
  const checkText = (): void => checkTokenText(token, verifier.maxTokenBytes)
  if (!(await report.run('format', checkText, 'well-formed bearer token'))) {
    return report.checks
  }
  const unverified = readUnverified(token)
  if (unverified === undefined) {
    await explainOpaque(token, verifier.providers, { report, now })
    return report.checks
  }
  const { claims: unverifiedClaims } = unverified
  let candidates: readonly Provider[] = []
  await report.run(
    'issuer',
    () => {
      const provider = findProvider(unverified, verifier.providers)
      candidates = providersOfIssuer(provider, verifier.providers)
    },
    () =>
      `issuer ${show(unverifiedClaims['iss'])} is provider ${candidates.map(({ id }) => id).join(', ')}`,
  )
  report.checks.push(...(await explainAtBest(token, candidates, now)))
  return report.checks
}

/** Returns the checks of the provider that refuses the token for the fewest reasons: one that accepts it is enough. */
async function explainAtBest(
  token: string,
  candidates: readonly Provider[],
  now: Date,
): Promise<readonly ExplainedCheck[]> {
  const results = candidates.map(async (provider) => {
    const report = new Report()
    await explainSigned(token, provider, { report, now })
    return report.checks
  })
  const failures = (checks: readonly ExplainedCheck[]): number =>
    checks.filter(({ ok }) => !ok).length
  const [best = []] = (await Promise.all(results)).toSorted(
    (one, other) => failures(one) - failures(other),
  )
  return best
}

interface Runtime {
  readonly report: Report
  readonly now: Date
}

async function explainSigned(
  token: string,
  provider: Provider,
  { report, now }: Runtime,
): Promise<void> {
  const { settings } = provider
  let jwt: VerifiedJwt | undefined
  await report.run(
    'signature',
    async () => {
      const { claims, header } = await verifyJwtSignature(token, provider, now)
      const headerType = header.typ
      jwt = { claims, headerType }
      const checks =
        settings.introspect === 'always' ? checksBeforeIntrospection(claims) : claimChecks
      for (const { check, run } of checks) {
        const context = { settings, now, source: 'jwt', headerType } as const
        const detail = check === 'type' ? describeKind(jwt, settings) : describe(check, claims)
        await report.run(check, () => run(claims, context), detail)
      }
    },
    'signed by a key of the provider',
  )
  if (jwt === undefined) return
  const introspected = jwt
  let known: KnownClaims = { claims: jwt.claims, sources: [jwt.claims] }
  if (settings.introspect === 'always') {
    await report.run(
      'active',
      async () => {
        const answer = await fetchIntrospection(token, provider)
        known = checkIntrospection(answer, provider, { now, jwt: introspected })
      },
      'the provider says that the token is active, and not that it is another kind of token',
    )
  }
  await explainRest(token, { provider, known }, report)
}

async function explainOpaque(
  token: string,
  providers: readonly Provider[],
  { report, now }: Runtime,
): Promise<void> {
  const asked = providers.filter(({ settings }) => settings.introspect !== 'never')
  if (asked.length === 0) {
    report.fail('active', 'not a JWT, and `introspect` is not enabled for any provider', {
      remedy: 'Set introspect: opaque for the provider that issues such tokens.',
    })
  }
  const lookups = asked.map(async (provider) => lookUp(token, provider, now))
  // What the other providers say about the token of one of them does not matter.
  const decisive = await firstKnown(lookups)
  const shown = decisive === undefined ? await Promise.all(lookups) : [decisive]
  report.checks.push(...shown.flatMap(({ checks }) => checks))
  if (decisive !== undefined) await explainRest(token, decisive, report)
}

/** Returns the first lookup of a provider that knows the token, without waiting for the others. */
async function firstKnown(lookups: readonly Promise<Lookup>[]): Promise<Known | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Known | undefined>()
  const each = lookups.map(async (lookup) => {
    const { known, ...rest } = await lookup
    if (known !== undefined) resolve({ ...rest, known })
  })
  Promise.all(each).then(() => resolve(undefined), reject)
  return promise
}

type Known = Lookup & { readonly known: KnownClaims }

interface Lookup {
  readonly provider: Provider
  readonly checks: readonly ExplainedCheck[]
  /** Undefined if the provider does not know the token, or refuses it. */
  readonly known: KnownClaims | undefined
}

async function lookUp(token: string, provider: Provider, now: Date): Promise<Lookup> {
  const report = new Report()
  let known: KnownClaims | undefined
  await report.run(
    'active',
    async () => {
      const found = await lookUpOpaque(token, provider, now)
      if (typeof found === 'string') throw notKnownAt(provider, found)
      known = found
    },
    `active at provider ${provider.id}, which says that it is an access token`,
  )
  return { provider, checks: report.checks, known }
}

function notKnownAt(provider: Provider, found: 'unknown' | 'no_endpoint'): TtsError {
  const { id, settings } = provider
  const endpoint = lookupEndpoint(provider)
  return found === 'unknown'
    ? refusal(
        'active',
        `the provider ${id} says that the token is not active: unknown, expired or revoked`,
        adviceOn('inactive', settings.profile),
      )
    : refusal(
        'format',
        `not a JWT, and the provider ${id} has no ${endpoint} endpoint`,
        endpoint === 'userinfo'
          ? `Set providers.${id}.endpoints.userinfo.`
          : adviceOn('no_introspection_endpoint', settings.profile),
      )
}

async function explainRest(
  token: string,
  checked: { readonly provider: Provider; readonly known: KnownClaims },
  report: Report,
): Promise<void> {
  const { settings } = checked.provider
  let { known } = checked
  const wantsMore = wantsUserInfo(known, checked.provider)
  // UserInfo may still show whether it is a user.
  const checkSpeaker = wantsMore ? checkUser : requirePerson
  await report.run(
    'user',
    () => checkSpeaker(known.sources, settings),
    () => SPEAKER_WORDS[speakerOf(known.sources)],
  )
  await report.run(
    'scope',
    () => checkScopes(known.claims, settings),
    () => describe('scope', known.claims),
  )
  if (wantsMore) {
    await report.run(
      'userinfo',
      async () => {
        const userInfo = await fetchUserInfo(token, String(known.claims['sub']), checked.provider)
        known = mergeUserInfo(known, userInfo)
        requirePerson(known.sources, settings)
      },
      () => `UserInfo returned: ${namesOf(known.claims)}`,
    )
  }
  report.pass('claims', `claims for rules: ${namesOf(known.claims)}`)
}

const SPEAKER_WORDS = {
  person: 'is the token of a user',
  client: 'is the token of a client, which is allowed',
  unclear: 'does not say whether it is of a user or of a client',
} as const

/** Says how a JWT was recognised as an access token; shown only when the check passes. */
function describeKind({ claims, headerType }: VerifiedJwt, settings: ProviderSettings): string {
  const evidence = settings.access_token_evidence
  const { kind, sign } = kindOfJwt(claims, { headerType, evidence })
  return kind === 'access'
    ? `an access token by its ${sign}`
    : 'does not say which kind of token it is: introspection must say that it is an access token'
}

function describe(check: string, claims: Claims): string {
  switch (check) {
    case 'issuer':
      return `issuer ${show(claims['iss'])}`
    case 'subject':
      return `subject ${show(claims['sub'])}`
    case 'expired':
      return `expires ${showDate(claims['exp'])}`
    case 'not_yet_valid':
      return `issued ${showDate(claims['iat'])}`
    case 'audience':
      return `audience ${audiencesOf(claims).map(show).join(', ') || 'not named'}`
    case 'scope':
      return `scopes ${scopesOf(claims).map(show).join(' ') || 'not in the token, and none required'}`
    case 'profile_version':
      return `WLCG profile ${show(claims['wlcg.ver'] ?? 'not used')}`
    default:
      return 'ok'
  }
}

/** The names of claims come from outside, too. */
const namesOf = (claims: Claims): string => Object.keys(claims).sort().map(show).join(', ')

/** Makes a claim from outside printable and limits its length. */
function show(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return (text ?? 'missing').slice(0, 200).replace(/[^\x20-\x7e]/g, '?')
}

function showDate(value: unknown): string {
  if (typeof value !== 'number' || Math.abs(value) > 1e11) return 'at an invalid time'
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

  /** Runs a check and adds its line before the lines that the check itself adds. */
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

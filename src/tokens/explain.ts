import type { ProviderSettings } from '../config/provider-schema.ts'
import { TtsError } from '../base/errors.ts'
import { claimChecks } from './claim-checks.ts'
import { audiencesOf, type Claims, scopesOf } from './claim-values.ts'
import {
  checkScopes,
  checkUser,
  type KnownClaims,
  requirePerson,
  speakerOf,
} from './identity-checks.ts'
import { checkIntrospection, fetchIntrospection } from './introspection.ts'
import { checkTokenText, readUnverified, type VerifiedJwt, verifyJwtSignature } from './jwt.ts'
import type { Provider } from './providers.ts'
import { kindOfJwt } from './token-kind.ts'
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
      for (const { check, run } of claimChecks) {
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
      'the provider says that the token is active, and nothing that speaks against an access token',
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
    report.fail('active', 'not a JWT, and no provider has `introspect` switched on', {
      remedy: 'Set introspect: opaque for the provider that issues such tokens.',
    })
  }
  for (const provider of asked) {
    let known: KnownClaims | undefined
    await report.run(
      'active',
      async () => {
        const answer = await fetchIntrospection(token, provider)
        known = checkIntrospection(answer, provider, { now })
      },
      `active at provider ${provider.id}, and an access token by its answer`,
    )
    if (known !== undefined) {
      await explainRest(token, { provider, known }, report)
      return
    }
  }
}

async function explainRest(
  token: string,
  found: { readonly provider: Provider; readonly known: KnownClaims },
  report: Report,
): Promise<void> {
  const { settings } = found.provider
  let { known } = found
  const wantsMore = wantsUserInfo(known, settings)
  // Who is unclear may become clear by UserInfo.
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
        const told = await fetchUserInfo(token, String(known.claims['sub']), found.provider)
        known = mergeUserInfo(known, told)
        requirePerson(known.sources, settings)
      },
      () => `UserInfo told: ${Object.keys(known.claims).join(', ')}`,
    )
  }
  report.pass('claims', `claims for rules: ${Object.keys(known.claims).sort().join(', ')}`)
}

const SPEAKER_WORDS = {
  person: 'speaks for a user',
  client: 'speaks for a client, which is allowed',
  unclear: 'does not tell whether it speaks for a user or a client',
} as const

/** By what a JWT is known as an access token. Only shown when the check passes. */
function describeKind({ claims, headerType }: VerifiedJwt, settings: ProviderSettings): string {
  const evidence = settings.access_token_evidence
  const { kind, sign } = kindOfJwt(claims, { headerType, evidence })
  return kind === 'access'
    ? `an access token by its ${sign}`
    : 'does not say what it is: introspection has to say that it is an access token'
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

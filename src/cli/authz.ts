/** `tts authz explain`: shows which rule of a service allows or refuses a user, and why. */
import { Command } from 'commander'
import type { LoadedConfiguration } from '../config/load.ts'
import { isTree } from '../config/settings-tree.ts'
import { type Authorisation, authorise } from '../domain/issuing/authorise.ts'
import { TtsError } from '../base/errors.ts'
import { cannotRead } from '../files/file-errors.ts'
import { readInputFile } from '../files/input-file.ts'
import { ruleClaimsByProvider } from '../service/rule-claims.ts'
import type { VerifiedToken } from '../tokens/verified-token.ts'
import { createTokenVerifier } from '../tokens/verify-token.ts'
import { readTokenToCheck, type TokenToCheck } from './check/token.ts'
import { waitSeconds } from './duration.ts'
import { exitCodes } from './exit-codes.ts'
import { neededChanges, describeRule, type RuleDescription, displayClaim } from './rule-words.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  quietLog,
  type Terminal,
} from './terminal.ts'

interface ExplainOptions extends OperatorOptions {
  readonly service: string
  readonly tokenFile?: string
  readonly claims?: string
  readonly provider?: string
  readonly wait: number
}

type Subject = Pick<VerifiedToken, 'providerId' | 'claims'> &
  Partial<Pick<VerifiedToken, 'profile'>>

type Claims = Readonly<Record<string, unknown>>

/** Claims of a file, or why there are none. */
type ClaimsToCheck = { readonly claims: Claims } | { readonly problem: unknown }

/** The result of the command; `--json` prints exactly this. */
interface Explanation {
  readonly service: string
  readonly provider: string
  readonly subject: string
  readonly verified: boolean
  readonly allowed: boolean
  readonly verdict: string
  readonly remedy: string | undefined
  readonly changes: readonly string[]
  readonly rules: readonly RuleDescription[]
}

const MAX_CLAIMS_BYTES = 1024 * 1024

export function authzCommand(terminal: Terminal): Command {
  const explain = new Command('explain')
    .description('show which rule allows or refuses a user at a service, and why')
    .requiredOption('--service <ID>', 'the requested service')
    .option(
      '--token-file <FILE>',
      'file with the access token (default: found by bearer token discovery)',
    )
    .option('--claims <FILE>', 'file with claims as a JSON object, instead of a token')
    .option('--provider <ID>', 'with --claims: the provider of the claims')
    .option('--wait <SECONDS>', 'time limit for the provider, in seconds', waitSeconds, 10)
    .addHelpText(
      'after',
      `
The output shows claims: make sure that nobody else can see your screen.
Exit codes: 0 the user may use the service, 2 wrong usage, 3 the user or the token is refused, 5 no such service or file.

Examples:
  BEARER_TOKEN=eyJ… tts authz explain --service proxy
  tts authz explain --service proxy --claims claims.json --provider iam   # test rules without a token`,
    )
    .action((_options, self: Command) => explainRules(terminal, self.optsWithGlobals()))
  return new Command('authz').description('examine the authorisation rules').addCommand(explain)
}

async function explainRules(terminal: Terminal, options: ExplainOptions): Promise<void> {
  refuseMixedOptions(options)
  // Before root acts as the owner of the data directory, who may not be able to read the file.
  const given =
    options.claims === undefined
      ? await readTokenToCheck(terminal, options.tokenFile)
      : await readClaimsToCheck(options.claims)
  const loaded = await loadedConfigurationFor(terminal, options)
  const service = serviceOf(loaded, options.service)
  const subject = await subjectOf(given, loaded, { terminal, options })
  // The same decision as in the running service, with its trace.
  const decision = authorise(service.authz, subject)
  const explanation = explanationOf(decision, subject, { options, enabled: service.enabled })
  terminal.out(options.json ? `${JSON.stringify(explanation, null, 2)}\n` : asText(explanation))
  if (!explanation.allowed) terminal.exitWith(exitCodes.refused)
}

function refuseMixedOptions({ claims, provider, tokenFile }: ExplainOptions): void {
  if (claims === undefined && provider !== undefined)
    throw new TtsError(
      'invalid_request',
      '--provider needs --claims; a token names its own provider',
    )
  if (claims !== undefined && (tokenFile !== undefined || provider === undefined))
    throw new TtsError(
      'invalid_request',
      '--claims needs --provider, and must not be combined with a token',
    )
}

function serviceOf({ configuration }: LoadedConfiguration, id: string) {
  const { services } = configuration
  const service = Object.hasOwn(services, id) ? services[id] : undefined
  if (service !== undefined) return service
  throw new TtsError('not_found', `the service ${displayClaim(id)} does not exist`, {
    remedy: `Use one of the configured services: ${Object.keys(services).join(', ')}.`,
  })
}

interface ExplainContext {
  readonly terminal: Terminal
  readonly options: ExplainOptions
}

async function subjectOf(
  given: TokenToCheck | ClaimsToCheck,
  loaded: LoadedConfiguration,
  context: ExplainContext,
): Promise<Subject> {
  const { provider } = context.options
  // Before a problem of the file: the user can see at once that the provider is wrong.
  if (provider !== undefined) refuseUnknownProvider(loaded, provider)
  if ('problem' in given) throw given.problem
  if ('text' in given) return verifyToken(given.text, loaded, context)
  const profile = loaded.configuration.providers[provider ?? '']?.profile
  return {
    providerId: provider ?? '',
    claims: given.claims,
    ...(profile !== undefined && { profile }),
  }
}

async function verifyToken(
  token: string,
  { configuration }: LoadedConfiguration,
  { terminal, options }: ExplainContext,
): Promise<Subject> {
  const log = quietLog(terminal)
  log.level = 'silent'
  const { providers } = configuration
  const ruleClaims = ruleClaimsByProvider(configuration)
  const maxTokenBytes = configuration.limits.token_bytes
  const verifier = createTokenVerifier({
    providers,
    ruleClaims,
    maxTokenBytes,
    now: terminal.now,
    log,
  })
  try {
    return await verifier.verify(token, { signal: AbortSignal.timeout(options.wait * 1000) })
  } finally {
    await verifier.close()
  }
}

function refuseUnknownProvider({ configuration }: LoadedConfiguration, provider: string): void {
  // Users of a relying service belong to the provider rsp-ID, which is not in the configuration.
  if (provider.startsWith('rsp-') || Object.hasOwn(configuration.providers, provider)) return
  const known = Object.keys(configuration.providers).join(', ') || 'none'
  throw new TtsError(
    'invalid_request',
    `the provider ${displayClaim(provider)} is not configured`,
    { remedy: `Use one of the configured providers: ${known}.` },
  )
}

async function readClaimsToCheck(path: string): Promise<ClaimsToCheck> {
  try {
    return { claims: await readClaims(path) }
  } catch (problem) {
    return { problem }
  }
}

async function readClaims(path: string): Promise<Claims> {
  const read = readInputFile(path, { maxBytes: MAX_CLAIMS_BYTES }).catch((cause: unknown) => {
    throw cannotRead(path, cause)
  })
  const claims = parseJson((await read).toString('utf8'))
  if (isTree(claims)) return claims
  throw new TtsError('invalid_request', `${path}: must be a JSON object of claims`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

interface ExplainedRequest {
  readonly options: ExplainOptions
  readonly enabled: boolean
}

function explanationOf(
  decision: Authorisation,
  subject: Subject,
  request: ExplainedRequest,
): Explanation {
  const { service, claims } = request.options
  const { sub, name, preferred_username: username } = subject.claims
  const disabled = `the service is disabled (services.${service}.enabled is false)`
  const changes = neededChanges(decision, service)
  return {
    service,
    provider: subject.providerId,
    subject: [sub, username ?? name]
      .filter((value) => value !== undefined)
      .map(displayClaim)
      .join(' '),
    verified: claims === undefined,
    allowed: decision.allowed && request.enabled,
    verdict: decision.allowed && !request.enabled ? disabled : decision.reason,
    remedy: decision.remedy,
    changes: request.enabled ? changes : [`services.${service}.enabled must be true`, ...changes],
    rules: decision.trace.map(describeRule),
  }
}

const marks = {
  true: 'true ',
  false: 'false',
  missing: 'none ',
  error: 'ERROR',
  other_provider: '  -  ',
}

function asText(explanation: Explanation): string {
  const { service, provider, subject, verified, allowed, verdict, rules, changes, remedy } =
    explanation
  const lines = [
    `service  ${service}`,
    `user     ${subject || 'no sub'} of the provider ${provider}${verified ? '' : ' (claims from a file, not verified)'}`,
    '',
    ...rules.flatMap(ruleLines),
    ...(rules.length === 0 ? ['no rules', ''] : []),
    `${allowed ? 'ALLOWED' : 'REFUSED'}: ${verdict}`,
    ...(changes.length === 0 ? [] : ['necessary changes:']),
    ...changes.map((change) => `  - ${change}`),
    ...(remedy === undefined ? [] : [`  -> ${remedy}`]),
  ]
  return `${lines.join('\n')}\n`
}

function ruleLines({ rule, provider, outcome, why, conditions }: RuleDescription): string[] {
  const head = `${marks[outcome]}  ${rule} (provider ${provider}): ${why}`
  const body = conditions.flatMap((condition) => [
    `         ${marks[condition.outcome]}  ${condition.claim} ${condition.wanted}`,
    `                found ${condition.found}: ${condition.why}`,
  ])
  return [head, ...body, '']
}

/** `tts check`: checks configuration, CA, database, providers, and optionally one token. */
import { Command } from 'commander'
import { formatSlashDn } from '../../ca/name-text.ts'
import { assembleService, type Core, openCore, type AssembledService } from '../service/compose.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import { type Authorisation, authorise } from '../domain/issuing/authorise.ts'
import { TtsError } from '../base/errors.ts'
import { authorityExists } from '../files/authority-files.ts'
import { discoverBearerToken, readTokenFile } from '../files/bearer-token.ts'
import { explainToken } from '../tokens/explain.ts'
import { waitSeconds } from './duration.ts'
import { exitCodes } from './exit-codes.ts'
import { isolationChecks } from './isolation-checks.ts'
import { nearValueQuestions } from './rule-words.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  quietLog,
  type Terminal,
  timeLeft,
} from './terminal.ts'

interface CheckOptions extends OperatorOptions {
  readonly token?: boolean
  readonly tokenFile?: string
  readonly wait: number
}

/** One line of the result. */
interface Check {
  readonly check: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly detail: string
  readonly remedy?: string
}

const DAY_MS = 86_400_000

export function checkCommand(terminal: Terminal): Command {
  return new Command('check')
    .description('check configuration, CA, database and providers, and optionally an access token')
    .option('--token', 'examine the access token found by bearer token discovery (BEARER_TOKEN, …)')
    .option('--token-file <FILE>', 'examine the access token in this file')
    .option('--wait <SECONDS>', 'time limit for the providers, in seconds', waitSeconds, 10)
    .addHelpText(
      'after',
      `
Exit codes: 0 all checks passed (there may be warnings), 1 a check failed, 2 the configuration cannot be used.

Examples:
  tts check
  BEARER_TOKEN=eyJ… tts check --token      # why is this token refused?`,
    )
    .action((_options, self: Command) => check(terminal, self.optsWithGlobals()))
}

async function check(terminal: Terminal, options: CheckOptions): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const checks: Check[] = [configurationCheck(loaded.path, loaded.overrides)]
  if (authorityExists(loaded.dataDirectory)) {
    checks.push(...(await openedChecks(loaded, terminal, options)))
  } else {
    checks.push({
      check: 'ca',
      state: 'failed',
      detail: `there is no CA in ${loaded.dataDirectory} yet`,
      remedy: 'Run `tts ca init`, or `tts serve`, which creates one.',
    })
  }
  terminal.out(options.json ? `${JSON.stringify(checks, null, 2)}\n` : checks.map(line).join(''))
  if (checks.some(({ state }) => state === 'failed')) terminal.exitWith(exitCodes.failed)
}

/** A CA or database that cannot be opened is a result of this command, not a reason to abort it. */
async function openedChecks(
  loaded: LoadedConfiguration,
  terminal: Terminal,
  options: CheckOptions,
): Promise<Check[]> {
  const runtime = { log: silentLog(terminal), now: terminal.now }
  let core: Core
  try {
    core = await openCore(loaded, runtime, { makeAuthority: false })
  } catch (error) {
    return [failure('ca and records', error)]
  }
  let service: AssembledService
  try {
    service = await assembleService(core, { makeAuthority: false })
  } catch (error) {
    await core.close()
    return [failure('services', error)]
  }
  try {
    const results = await serviceChecks(service, terminal, options)
    return [...results, ...isolationChecks(loaded.configuration.services)]
  } finally {
    await service.close()
  }
}

/** Turns a TtsError into a failed check. */
function failure(check: string, error: unknown): Check {
  if (!(error instanceof TtsError)) throw error
  const { message, remedy } = error
  return { check, state: 'failed', detail: message, ...(remedy === undefined ? {} : { remedy }) }
}

function line({ check: name, state, detail, remedy }: Check): string {
  const mark = { ok: 'ok      ', warning: 'warning ', failed: 'FAILED  ' }[state]
  return `${mark} ${name}: ${detail}\n${remedy === undefined || state === 'ok' ? '' : `         -> ${remedy}\n`}`
}

function configurationCheck(path: string | undefined, overrides: readonly string[]): Check {
  const from = path ?? 'defaults, because no file was found'
  const names = overrides.length === 0 ? '' : `, and ${overrides.join(', ')}`
  return { check: 'configuration', state: 'ok', detail: `${from}${names}` }
}

async function serviceChecks(
  service: AssembledService,
  terminal: Terminal,
  options: CheckOptions,
): Promise<Check[]> {
  return [
    authorityCheck(service),
    await crlCheck(service),
    await recordsCheck(service),
    ...(await providerChecks(service, options.wait * 1000)),
    ...evidenceChecks(service),
    ...(await relyingChecks(service)),
    ...ruleChecks(service),
    ...(options.token || options.tokenFile !== undefined
      ? await tokenChecks(service, terminal, options)
      : []),
  ]
}

function authorityCheck({ authority, now }: AssembledService): Check {
  const { notAfter } = authority.certificate.validity
  const left = notAfter.getTime() - now().getTime()
  const state = left <= 0 ? 'failed' : left < 365 * DAY_MS ? 'warning' : 'ok'
  const detail = `${formatSlashDn(authority.certificate.subject)}, ${timeLeft(notAfter, now())}`
  return {
    check: 'ca',
    state,
    detail,
    remedy: 'Run `tts ca renew`, then distribute the new trust anchors.',
  }
}

async function crlCheck({ crls, now }: AssembledService): Promise<Check> {
  try {
    const crl = await crls.current()
    return {
      check: 'crl',
      state: 'ok',
      detail: `number ${crl.number}, next update ${timeLeft(crl.nextUpdate, now())}`,
    }
  } catch (error) {
    return failure('crl', error)
  }
}

async function recordsCheck({ store }: AssembledService): Promise<Check> {
  try {
    await store.ping()
    return { check: 'records', state: 'ok', detail: `${store.kind}, readable and writable` }
  } catch (error) {
    const detail = error instanceof TtsError ? error.message : 'failed'
    return {
      check: 'records',
      state: 'failed',
      detail,
      remedy: 'Check store.path or store.url, free disk space, and the database server.',
    }
  }
}

async function providerChecks({ verifier }: AssembledService, waitMs: number): Promise<Check[]> {
  if (verifier.providers.length === 0) {
    return [
      {
        check: 'providers',
        state: 'warning',
        detail: 'no provider is configured, so every token is refused',
        remedy: 'Add a provider under `providers`.',
      },
    ]
  }
  const until = Date.now() + waitMs
  const settled = (): boolean =>
    verifier.status().every(({ ready, lastError }) => ready || lastError !== undefined)
  while (!settled() && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50))
  return verifier.status().map(({ id, issuer, ready, lastError }): Check => {
    const detail = ready
      ? `discovery and keys of ${issuer} are available`
      : `${issuer}: ${lastError ?? 'no answer in time'}`
    return {
      check: `provider ${id}`,
      state: ready ? 'ok' : 'failed',
      detail,
      remedy: `Open ${issuer.replace(/\/$/, '')}/.well-known/openid-configuration on this host.`,
    }
  })
}

/** Warns where only the audience distinguishes access tokens from ID tokens. */
function evidenceChecks({ verifier }: AssembledService): Check[] {
  return verifier.providers
    .filter(({ settings }) => settings.access_token_evidence === 'none')
    .map(({ id, settings }) => ({
      check: `provider ${id} tokens`,
      state: 'warning',
      detail: `access_token_evidence is none, so ID tokens for ${settings.audiences.join(', ') || 'any audience'} are accepted too`,
      remedy: `Remove from providers.${id}.audiences every client that shows its ID tokens to others, or list claims that only its access tokens have.`,
    }))
}

/** Checks that the keys of the relying services can be loaded. */
async function relyingChecks({ relying }: AssembledService): Promise<Check[]> {
  const checks = [...relying.sites.values()].map(async ({ id, settings, keys }): Promise<Check> => {
    const check = `relying service ${id}`
    try {
      await keys.refresh()
      return { check, state: 'ok', detail: `${settings.base_url}, keys loaded` }
    } catch (error) {
      return {
        ...failure(check, error),
        detail: `its keys cannot be loaded from ${settings.keys_location}`,
      }
    }
  })
  return Promise.all(checks)
}

function ruleChecks({ issuing }: AssembledService): Check[] {
  return [...issuing.services.values()].map((service): Check => {
    const open = service.enabled && service.authz.allow.length > 0
    const { problem } = service.plugin
    return {
      check: `service ${service.id}`,
      state: open ? 'ok' : problem === undefined ? 'warning' : 'failed',
      detail: open
        ? `${service.plugin.id}, ${service.authz.allow.length} allow and ${service.authz.forbid.length} forbid rule(s)`
        : service.enabled
          ? 'there is no allow rule, so every user is refused'
          : (problem?.reason ?? 'disabled'),
      remedy:
        problem?.remedy ??
        (service.enabled
          ? `Add a rule to services.${service.id}.authz.allow.`
          : `Set services.${service.id}.enabled to true.`),
    }
  })
}

async function tokenChecks(
  service: AssembledService,
  terminal: Terminal,
  options: CheckOptions,
): Promise<Check[]> {
  let token: string
  try {
    token =
      options.tokenFile === undefined
        ? (await discoverBearerToken(terminal)).token
        : await readTokenFile(options.tokenFile)
  } catch (error) {
    return [failure('token', error)]
  }
  const explained = await explainToken(token, service.verifier, service.now())
  const checks = explained.map(({ check: name, ok, detail, remedy }): Check => ({
    check: `token ${name}`,
    state: ok ? 'ok' : 'failed',
    detail,
    ...(remedy === undefined ? {} : { remedy }),
  }))
  if (checks.some(({ state }) => state === 'failed')) return checks
  const verified = await service.verifier.verify(token)
  const answers = [...service.issuing.services.values()].map(({ id, authz, enabled }) => ({
    id,
    ...(enabled
      ? withQuestions(authorise(authz, verified))
      : { allowed: false, reason: 'disabled', remedy: `Set services.${id}.enabled to true.` }),
  }))
  // A service may be meant for other users, so one refusal is only a warning. A token that every service refuses is a
  // failure.
  const refused = answers.some(({ allowed }) => allowed) ? 'warning' : 'failed'
  const rules = answers.map(({ id, allowed, reason, remedy }): Check => ({
    check: `token for service ${id}`,
    state: allowed ? 'ok' : refused,
    detail: reason,
    ...(remedy === undefined ? {} : { remedy }),
  }))
  return [...checks, ...rules]
}

/** Adds what the rules nearly match to the remedy. This is for the terminal: it holds values of claims. */
function withQuestions(decision: Authorisation) {
  const { allowed, reason, remedy } = decision
  const texts = [...nearValueQuestions(decision), ...(remedy === undefined ? [] : [remedy])]
  return { allowed, reason, remedy: texts.length === 0 ? undefined : texts.join(' ') }
}

/** Returns a silent log, because the result already reports every failure. */
function silentLog(terminal: Terminal) {
  const log = quietLog(terminal)
  log.level = 'silent'
  return log
}

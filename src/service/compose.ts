/** Composition root: the only module that creates store, CA, clock, verifier and the other parts, and connects them. */
import { randomBytes } from 'node:crypto'
import { join, resolve } from 'node:path'
import type { Authority } from '../../ca/authority.ts'
import { type DistinguishedName, startsWithName } from '../../ca/name.ts'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import { assembleDelegations, type Delegations } from './compose-delegations.ts'
import { openServices } from './compose-services.ts'
import { keyPoolOf, signingPoolOf } from './compose-signing.ts'
import { assembleVoms, type AssembledVoms } from './compose-voms.ts'
import { openInstalledAuthority } from './installation.ts'
import { masterKeySource } from './master-key-source.ts'
import { crlUrls, followRollOver, openOtherAuthorities } from './roll-over.ts'
import { ruleClaimsByProvider } from './rule-claims.ts'
import { aliasOf } from '../config/provider-schema.ts'
import { relyingAliasOf, relyingProviderId } from '../config/relying-schema.ts'
import type { Environment, LoadedConfiguration } from '../config/load.ts'
import type { LimitsSettings } from '../config/schema.ts'
import { type CrlPublisher, createCrlPublisher } from '../domain/revocation/crl-publisher.ts'
import { createBanList } from '../domain/bans/ban-list.ts'
import { createCredentialCounts } from '../domain/issuing/credential-limit.ts'
import { createEndEntityCache, type EndEntityCache } from '../domain/issuing/end-entities.ts'
import { createIdentityShare, type IdentityShare } from '../domain/issuing/identity-share.ts'
import type { IssueDependencies } from '../domain/issuing/issue.ts'
import type { KeyPool } from '../domain/issuing/key-pool.ts'
import { createOneTimeCodes, type OneTimeCodes } from '../domain/one-time-codes.ts'
import {
  createPossessionVerifier,
  type PossessionVerifier,
} from '../domain/possession/possession.ts'
import type { OtherAuthority } from '../domain/revocation/trust-anchors.ts'
import { createIdentityLimiter, type IdentityLimiter } from '../domain/issuing/identity-limiter.ts'
import { createRateLimiter, type RateLimiter } from '../limits/rate-limiter.ts'
import type { Store } from '../domain/store.ts'
import type { Service as OfferedService } from '../domain/issuing/service.ts'
import { createSubjects } from '../domain/issuing/subject.ts'
import { TtsError } from '../base/errors.ts'
import { prepareDataDirectory } from '../files/data-directory.ts'
import { createRequestsInFlight, type RequestsInFlight } from '../http/requests-in-flight.ts'
import { createSampler, type Sampler } from '../limits/sampler.ts'
import { partOf } from '../limits/shares.ts'
import type { Log } from '../base/log.ts'
import { createRelyingServices, type RelyingServices } from '../relying/relying-services.ts'
import { openStore } from '../store/store.ts'
import { createTokenVerifier, type TokenVerifier } from '../tokens/verify-token.ts'

/** Number of requests in progress from which the records of several are written together. */
const CROWD = 16

/** Burst of opaque tokens, in seconds of their rate. */
const OPAQUE_BURST_SECONDS = 10

/** Parts that the caller provides. */
export interface Runtime {
  readonly log: Log
  readonly now: () => Date
  /** Child processes get only the variables that they need. */
  readonly environment?: Environment | undefined
  /** Where refresh requests run, see `createRefreshHelper`. Default `process`. */
  readonly refreshIn?: 'process' | 'here' | undefined
  /** Called with the seconds that a proxy for a CSR needed in the signing threads. */
  readonly onSigned?: ((seconds: number) => void) | undefined
}

/** The parts that both the service and the operator commands use. */
export interface Core extends Runtime {
  readonly loaded: LoadedConfiguration
  readonly authority: Authority
  /** The CAs before and after a roll-over of the key. */
  readonly others: readonly OtherAuthority[]
  readonly store: Store
  readonly inFlight: RequestsInFlight
  readonly crls: CrlPublisher
  /** Prefix of the names of all users. */
  readonly endEntityBase: DistinguishedName
  /** Where the CRL of a CA is served; undefined: nowhere. @param shortId undefined: the current CA */
  readonly crlUrlOf: (shortId?: string) => string | undefined
  readonly close: () => Promise<void>
}

/** All parts of the running service. */
export interface AssembledService extends Core {
  readonly verifier: TokenVerifier
  readonly keyPool: KeyPool
  readonly endEntities: EndEntityCache
  readonly services: ReadonlyMap<string, OfferedService>
  readonly issuing: IssueDependencies
  readonly delegations: Delegations
  readonly voms: AssembledVoms
  readonly relying: RelyingServices
  readonly codes: OneTimeCodes
  readonly revocationRate: RateLimiter
}

/**
 * Opens CA and database.
 *
 * @param options.makeAuthority create a CA if there is none
 * @throws {TtsError} `configuration`, `store_unavailable`
 */
export async function openCore(
  loaded: LoadedConfiguration,
  runtime: Runtime,
  options: { readonly makeAuthority: boolean },
): Promise<Core> {
  const { log, now } = runtime
  const inFlight = requestsInFlightOf(loaded.configuration.limits)
  const store = await openRecords(loaded, now, () => inFlight.count >= CROWD)
  try {
    const installation = { loaded, store, log, now }
    await followRollOver(loaded, await store.installation.authority('x509-ca'))
    const authority = await openInstalledAuthority(installation, options.makeAuthority)
    const recorded = await store.installation.authorities('x509-ca')
    const others = await openOtherAuthorities(loaded, recorded)
    return coreOf(runtime, { loaded, store, inFlight, authority, others })
  } catch (error) {
    await store.close().catch(() => undefined)
    throw error
  }
}

/**
 * Opens the database without its CA.
 *
 * @throws {TtsError} `configuration`, `store_unavailable`
 */
export async function openRecords(
  loaded: LoadedConfiguration,
  now: () => Date,
  isCrowded?: () => boolean,
): Promise<Store> {
  await prepareDataDirectory(loaded.dataDirectory)
  const settings = databaseSettings(loaded)
  return openStore({ settings, masterKeys: masterKeySource(loaded), now, isCrowded })
}

/** Returns the settings of the database with the absolute path of an SQLite file. */
export function databaseSettings({ configuration, dataDirectory }: LoadedConfiguration) {
  const { store } = configuration
  return { ...store, path: resolve(dataDirectory, store.path) }
}

function coreOf(
  runtime: Runtime,
  parts: Pick<Core, 'loaded' | 'store' | 'inFlight' | 'authority' | 'others'>,
): Core {
  const { now, log } = runtime
  const { loaded, store, authority, others } = parts
  const { crl_lifetime_seconds: lifetimeSeconds, crl_refresh_seconds: refreshSeconds } =
    loaded.configuration.ca
  const crls = createCrlPublisher({
    store,
    authority,
    now,
    log,
    settings: { lifetimeSeconds, refreshSeconds },
  })
  return {
    ...runtime,
    ...parts,
    crls,
    endEntityBase: endEntityBaseOf(loaded, authority),
    crlUrlOf: crlUrls(crlUrlOf(loaded), { authority, others }),
    close: () => store.close(),
  }
}

/**
 * Returns the prefix of the names of all users. The schema has checked it against the configured CA name; this checks
 * it against the real CA, which may have another name.
 *
 * @throws {TtsError} `configuration`
 */
function endEntityBaseOf(
  { configuration }: LoadedConfiguration,
  authority: Authority,
): DistinguishedName {
  const { subject } = authority.certificate
  const configured = configuration.ca.end_entity_base
  const base = configured === undefined ? subject.slice(0, -1) : parseSlashDn(configured)
  // XRootD treats an EEC whose name begins with the whole name of the CA as a proxy of the CA.
  if (base.length > 0 && !startsWithName(base, subject)) return base
  throw new TtsError(
    'configuration',
    `ca.end_entity_base: found ${configured ?? 'nothing'} with the CA ${formatSlashDn(subject)}; must be a name that is not empty and does not begin with the name of the CA`,
  )
}

function crlUrlOf({ configuration }: LoadedConfiguration): string | undefined {
  const { crl_url: crlUrl } = configuration.ca
  const publicUrl = configuration.listen.public_url
  if (crlUrl !== undefined || !publicUrl?.startsWith('http:')) return crlUrl
  return `${publicUrl.replace(/\/$/, '')}/ca/crl.der`
}

/**
 * Assembles the running service from an opened core.
 *
 * @param options.makeAuthority create an SSH CA if a service needs one and there is none
 * @param options.patience until when to wait for slow plugins
 * @throws {TtsError} `configuration`
 */
export async function assembleService(
  core: Core,
  options: { readonly makeAuthority: boolean; readonly patience: AbortSignal },
): Promise<AssembledService> {
  const { services, sshAuthority, closePlugins } = await openServices(core, options)
  const { authority, store, inFlight, now } = core
  const { ca, limits } = core.loaded.configuration
  const verifier = tokenVerifierOf(core)
  const keyPool = keyPoolOf(core.loaded, inFlight)
  const signingPool = signingPoolOf(core)
  const issuance = {
    authority,
    keyPool,
    signingPool,
    now,
    randomBytes,
    profile: { crlUrl: core.crlUrlOf(), policyOids: ca.policy_oids },
    withSubjectUri: ca.subject_alternative_name,
    sshAuthority,
  }
  const voms = assembleVoms(core)
  const endEntities = createEndEntityCache({
    ...issuance,
    store,
    keyKind: ca.end_entity_key_kind,
    lifetimeSeconds: ca.end_entity_lifetime_seconds,
  })
  const issuing: IssueDependencies = {
    ...issuance,
    attributes: voms.attributes,
    groupMemory: voms.groupMemory,
    endEntities,
    store,
    verifier,
    services,
    subjects: createSubjects({ store, now, base: core.endEntityBase, aliases: aliasesOf(core) }),
    limiter: identityLimiterOf(core),
    identityShare: identityShareOf(limits),
    credentialCounts: createCredentialCounts({ store, now }),
    bans: createBanList(store.bans, now),
    sampleRefusal: refusalSamplerOf(limits),
    possession: possessionVerifierOf(core),
  }
  const delegations = assembleDelegations(core, { verifier, issuing })
  const relying = createRelyingServices(core.loaded.configuration.relying_services, { store, now })
  logAssembly(core, issuing)
  // In reverse order of construction.
  const close = async (): Promise<void> => {
    // Delegations close first, because pending answers of providers need client and store.
    await delegations.close()
    closePlugins()
    keyPool.close()
    relying.close()
    await verifier.close()
    await signingPool.close()
    await core.close()
  }
  const more = { revocationRate: revocationRateOf(limits), codes: oneTimeCodesOf(core) }
  const parts = { verifier, keyPool, endEntities, services, issuing, voms }
  return { ...core, ...parts, ...more, delegations, relying, close }
}

function oneTimeCodesOf({ store, now, loaded }: Core): OneTimeCodes {
  const lifetimeSeconds = loaded.configuration.myproxy.code_lifetime_seconds
  return createOneTimeCodes({ store, now, randomBytes, lifetimeSeconds })
}

function aliasesOf({ loaded }: Core): ReadonlyMap<string, string> {
  const { providers, relying_services: relying } = loaded.configuration
  return new Map([
    ...Object.entries(providers).map(([id, settings]) => [id, aliasOf(id, settings)] as const),
    ...Object.entries(relying).map(
      ([id, settings]) => [relyingProviderId(id), relyingAliasOf(id, settings)] as const,
    ),
  ])
}

function possessionVerifierOf(core: Core): PossessionVerifier | undefined {
  const { enabled, maximum_days: maximumDays } =
    core.loaded.configuration.delegations.renewal_by_possession
  return enabled ? createPossessionVerifier({ ...core, maximumDays }) : undefined
}

function opaqueRateOf({ opaque_tokens_per_second_per_address: perSecond }: LimitsSettings) {
  return { perSecond, burst: perSecond * OPAQUE_BURST_SECONDS }
}

function revocationRateOf({ revocations_per_hour_per_identity: perHour }: LimitsSettings) {
  const nowMs = (): number => performance.now()
  return createRateLimiter({ perSecond: perHour / 3600, burst: perHour, nowMs })
}

function tokenVerifierOf({ loaded, now, log }: Core): TokenVerifier {
  const { providers, limits } = loaded.configuration
  const keyDirectory = join(loaded.dataDirectory, 'provider-keys')
  const opaqueTokens = opaqueRateOf(limits)
  const ruleClaims = ruleClaimsByProvider(loaded.configuration)
  const maxTokenBytes = limits.token_bytes
  return createTokenVerifier({
    providers,
    now,
    log,
    opaqueTokens,
    keyDirectory,
    ruleClaims,
    maxTokenBytes,
  })
}

function requestsInFlightOf(limits: LimitsSettings): RequestsInFlight {
  const { requests_in_flight: total, address_share: addressShare } = limits
  const perAddress = partOf(total, addressShare)
  return createRequestsInFlight({ total, perAddress, nowMs: () => performance.now() })
}

function identityShareOf(limits: LimitsSettings): IdentityShare {
  return createIdentityShare(partOf(limits.requests_in_flight, limits.identity_share))
}

function refusalSamplerOf({ recorded_refusals_per_minute: perMinute }: LimitsSettings): Sampler {
  return createSampler({ perMinute, nowMs: () => performance.now() })
}

function identityLimiterOf({ loaded }: Core): IdentityLimiter {
  const { limits } = loaded.configuration
  const limiter = createRateLimiter({
    perSecond: limits.credentials_per_second_per_identity,
    burst: limits.burst_per_identity,
    nowMs: () => performance.now(),
  })
  return createIdentityLimiter(limiter)
}

function logAssembly(
  { loaded, authority, store, log }: Core,
  { services }: IssueDependencies,
): void {
  const facts = {
    ca: formatSlashDn(authority.certificate.subject),
    caEnds: authority.certificate.validity.notAfter,
    providers: Object.keys(loaded.configuration.providers),
    services: [...services.keys()],
    store: store.kind,
    dataDirectory: loaded.dataDirectory,
  }
  log.info({ event: 'service.assembled', ...facts }, 'service assembled')
}

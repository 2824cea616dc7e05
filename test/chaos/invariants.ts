/**
 * What must hold whatever breaks, as pure functions on what was seen. Each returns one line for each violation.
 * `invariants.test.ts` shows each of them a violation.
 */
import { BACKDATE_SECONDS } from '../../ca/validity.ts'
import type {
  Evidence,
  Grant,
  Holder,
  PerInstallation,
  Recovery,
  RecordedRows,
} from './evidence.ts'

/** Everything that is judged. */
export interface Findings extends Pick<
  Evidence,
  'grants' | 'acceptedBadTokens' | 'refusals' | 'revoked' | 'files'
> {
  readonly records: PerInstallation<RecordedRows>
  /** Serials in the newest CRLs, of each replica by itself. */
  readonly crls: PerInstallation<readonly ReadonlySet<string>[]>
  readonly holders: readonly Holder[]
  readonly recoveries: readonly Recovery[]
  /** Lines of logs with a secret in them; file and kind, never the secret. */
  readonly secretsInLogs: readonly string[]
}

export interface Invariant {
  readonly name: string
  readonly violations: (findings: Findings) => readonly string[]
}

/** In the order of the report. */
export const invariants: readonly Invariant[] = [
  { name: 'unrecorded certificates', violations: unrecorded },
  { name: 'serials issued twice', violations: issuedTwice },
  { name: 'lost refresh tokens', violations: lostTokens },
  { name: 'wrong grants', violations: wrongGrants },
  { name: 'revoked serials missing from a CRL', violations: missingFromCrl },
  { name: 'faults without recovery', violations: withoutRecovery },
  { name: 'private files that are open or not whole', violations: badFiles },
  { name: 'secrets in logs', violations: ({ secretsInLogs }) => secretsInLogs },
  { name: 'kinds of clients that were never served', violations: neverServed },
]

/** How credentials are asked for at each installation. */
export const ways = ['CSR', 'key of the service', 'WaTTS', 'delegation', 'certcache'] as const

const textOf = ({ installation, way, sub }: Grant): string => `${installation}, ${way}, ${sub}`

function unrecorded({ grants, records }: Findings): readonly string[] {
  return grants.flatMap((grant) => {
    const { credentials, certificates, audited } = records[grant.installation]
    const { id } = grant
    return [
      ...(id === undefined || credentials.has(id) ? [] : [`credential ${id}`]),
      ...(id === undefined || audited.has(id) ? [] : [`audit line of ${id}`]),
      ...grant.certificates
        .filter(({ serial }) => !certificates.has(serial))
        .map(({ serial }) => `certificate ${serial}`),
    ].map((what) => `${textOf(grant)}: ${what} is not on record`)
  })
}

/** An EEC is in many answers, a proxy in one; those from certcache are noted once. */
function issuedTwice({ grants }: Findings): readonly string[] {
  const seen = new Set<string>()
  const twice: string[] = []
  for (const grant of grants)
    for (const name of [grant.id, grant.certificates[0]?.serial]) {
      if (name === undefined) continue
      if (seen.has(`${grant.installation} ${name}`)) twice.push(`${textOf(grant)}: ${name}`)
      seen.add(`${grant.installation} ${name}`)
    }
  return twice
}

function lostTokens({ holders }: Findings): readonly string[] {
  return holders
    .filter(({ accepted, endedOnPurpose }) => !accepted && !endedOnPurpose)
    .map(({ name, detail }) => `${name}: ${detail}`)
}

function wrongGrants(findings: Findings): readonly string[] {
  const { grants, acceptedBadTokens, refusals, revoked } = findings
  const revokedAt = new Map(
    revoked.map(({ installation, serial, at }) => [`${installation} ${serial}`, at]),
  )
  return [
    ...acceptedBadTokens,
    ...grants.flatMap((grant) => {
      const refusal = refusals.find(
        ({ installation, sub, from, until }) =>
          installation === grant.installation &&
          sub === grant.sub &&
          grant.begunAt >= from &&
          grant.begunAt <= until,
      )
      const [, endEntity] = grant.certificates
      const ended = revokedAt.get(`${grant.installation} ${endEntity?.serial}`)
      return [
        ...namingProblems(grant),
        ...timeProblems(grant),
        ...(grant.keyFits ? [] : ['the key does not belong to the certificate']),
        ...(refusal === undefined ? [] : [`issued although ${refusal.why}`]),
        ...(ended === undefined || grant.begunAt < ended ? [] : ['issued from a revoked EEC']),
      ].map((problem) => `${textOf(grant)}: ${problem}`)
    }),
  ]
}

/** The name that the service gives to an identity, and a proxy's name below that (RFC 3820 section 3.4). */
function namingProblems({ sub, certificates }: Grant): readonly string[] {
  const endEntity = certificates.at(-1)
  const ownName = new RegExp(`(^|,)CN=${sub}@[a-z-]+(,|$)`)
  if (endEntity === undefined) return ['there is no certificate']
  if (!ownName.test(endEntity.subject)) return [`its subject is ${endEntity.subject}`]
  const [proxy] = certificates
  if (certificates.length === 1 || proxy === undefined) return []
  const isBelow =
    proxy.issuer === endEntity.subject &&
    proxy.subject === `CN=${BigInt(`0x${proxy.serial}`)},${endEntity.subject}`
  return isBelow ? [] : [`the proxy is named ${proxy.subject}, issued by ${proxy.issuer}`]
}

/** By the certificates alone: the clock of the service may have been wrong. */
function timeProblems({ certificates, lifetimeSeconds }: Grant): readonly string[] {
  const [first, endEntity] = certificates
  if (first === undefined) return []
  const lasts = (first.notAfter - first.notBefore) / 1000
  return [
    ...(lasts > lifetimeSeconds + BACKDATE_SECONDS + 1 ? [`it is valid for ${lasts} s`] : []),
    ...(endEntity !== undefined && first.notAfter > endEntity.notAfter
      ? ['the proxy ends after its EEC']
      : []),
  ]
}

function missingFromCrl({ revoked, crls }: Findings): readonly string[] {
  return revoked.flatMap(({ installation, serial }) => {
    const lists = crls[installation]
    const lacking = lists.filter((serials) => !serials.has(serial)).length
    return lists.length > 0 && lacking === 0
      ? []
      : [`${installation}: ${serial} is not in ${lacking} of ${lists.length} CRLs`]
  })
}

function withoutRecovery({ recoveries }: Findings): readonly string[] {
  return recoveries
    .filter(({ milliseconds }) => milliseconds === undefined)
    .map(({ fault, lastProblem }) => `${fault}: ${lastProblem}`)
}

/** Else nothing was judged where everything failed. A certcache's file and its answers have the same proxies. */
function neverServed({ grants, revoked, holders }: Findings): readonly string[] {
  const installations = ['replicas', 'single'] as const
  return installations.flatMap((installation) => {
    const own = grants.filter((grant) => grant.installation === installation)
    return [
      ...ways.filter((way) => !own.some((grant) => grant.way.endsWith(way))),
      ...(revoked.some((each) => each.installation === installation) ? [] : ['revocation']),
      ...(holders.length > 0 ? [] : ['holder of a refresh token']),
    ].map((kind) => `${installation}: ${kind}`)
  })
}

function badFiles({ files }: Findings): readonly string[] {
  return files.flatMap(({ path, mode, problem }) => [
    ...((mode & 0o077) === 0 ? [] : [`${path} has mode ${mode.toString(8)}`]),
    ...(problem === undefined ? [] : [`${path}: ${problem}`]),
  ])
}

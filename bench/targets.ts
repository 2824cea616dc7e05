/** The targets, and whether a run met them. */
import type { Result, Results, StartName } from './results.ts'

export interface Verdict {
  /** What is compared, and the unit of the value. */
  readonly target: string
  readonly wanted: string
  /** Undefined: this run did not measure it. */
  readonly value: number | undefined
  readonly verdict: 'ok' | 'missed' | 'not measured'
}

interface Goal {
  readonly target: string
  readonly bound: { readonly atLeast: number } | { readonly atMost: number }
  readonly value: number | undefined
}

export function judge({ machine: { hasIfma }, results, raw, starts }: Results): readonly Verdict[] {
  const find = (name: string): Result | undefined => results.find(isMain(name))
  const seen = find('csr-rsa-seen')
  const keys = find('keys')
  const getProxy = find('get-proxy')
  const ifma = hasIfma ? 'with AVX-512 IFMA' : 'without AVX-512 IFMA'
  const goals: readonly Goal[] = [
    {
      target:
        'CPU beyond the signature over a bare Node request: CSR, RSA-2048 EEC, token seen before',
      bound: { atMost: 10 },
      value: seen && timesBare(seen),
    },
    {
      target: 'the same, a new token each time',
      bound: { atMost: 12 },
      value: timesBare(find('csr-rsa-new')),
    },
    {
      target: `proxies a second over raw signatures a second, all cores, ${ifma}`,
      bound: { atLeast: hasIfma ? 0.45 : 0.6 },
      value: seen?.measured.ofRaw,
    },
    {
      target: `P-256 EEC over RSA-2048 EEC, proxies a second, ${ifma}`,
      bound: { atLeast: hasIfma ? 1.5 : 2 },
      value: comparableRatio(find('csr-p256-seen'), seen, raw),
    },
    ...peerGoals(results),
    {
      target: 'keys made by the service over raw key pairs a second, all cores',
      bound: { atLeast: 0.9 },
      value: keys?.measured.ofRaw,
    },
    {
      target: 'warm GET /get_proxy over nginx with the same bytes, answers a second',
      bound: { atLeast: 0.6 },
      value: getProxy && ofReference(getProxy),
    },
    {
      target: 'p99 over p50 of the latency, 64 connections, RSA-2048 EEC, token seen before',
      bound: { atMost: 3 },
      value: seen && seen.measured.p99Ms / seen.measured.p50Ms,
    },
    ...rowGoals(results),
    startGoal(starts, { name: 'tts-serve', text: '`tts serve` with an existing CA', seconds: 1 }),
    startGoal(starts, { name: 'certcache-serve', text: 'certcache from its state', seconds: 0.3 }),
  ]
  return goals.map(toVerdict)
}

/** The line that stands for a scenario: 64 connections where it has several, SQLite, no rows. */
function isMain(name: string): (result: Result) => boolean {
  const standard = name === 'keys' ? undefined : 64
  return (result) =>
    result.name === name &&
    result.store === 'sqlite' &&
    result.rows === 0 &&
    (standard === undefined || result.connections === standard)
}

/** CPU time beyond the signature as a multiple of what a bare Node server spends on a request. */
export function timesBare(result: Result | undefined): number | undefined {
  const { beyondMs, reference } = result?.measured ?? {}
  return beyondMs === undefined || reference === undefined ? undefined : beyondMs / reference.cpuMs
}

/** Rate over that of the reference. */
export const ofReference = ({ measured }: Result): number | undefined =>
  measured.reference && measured.perSecond / measured.reference.perSecond

/**
 * A rate with P-256 EECs over one with RSA-2048 EECs. They were not measured in turn, and the speed of a machine
 * changes: so each is first divided by the raw rate of its own rounds. The raw rates were compared at the start.
 */
function comparableRatio(
  one: Result | undefined,
  other: Result | undefined,
  raw: Results['raw'],
): number | undefined {
  if (one?.measured.ofRaw === undefined || other?.measured.ofRaw === undefined) return undefined
  const start = raw['ec-p256 signature'].perSecond / raw['rsa-2048 signature'].perSecond
  return (one.measured.ofRaw / other.measured.ofRaw) * start
}

/** Name of our own result that was measured in turn with the peers. */
export const OWN_BESIDE_PEERS = 'csr-rsa-new-beside-peers'

function peerGoals(results: readonly Result[]): readonly Goal[] {
  const peers = results.filter(({ isPeer }) => isPeer)
  const own = results.find(({ name }) => name === OWN_BESIDE_PEERS)
  const isComparable = own !== undefined && peers.length > 0
  const rateOf = ({ measured }: Result): number => measured.perSecond
  const cpuOf = ({ measured }: Result): number => measured.cpuMs
  const rate = isComparable ? rateOf(own) / Math.max(...peers.map(rateOf)) : undefined
  const cpu = isComparable ? cpuOf(own) / Math.min(...peers.map(cpuOf)) : undefined
  return [
    {
      target: 'a new token each time: proxies a second over those of the faster peer',
      bound: { atLeast: 1.8 },
      value: rate,
    },
    {
      target: 'a new token each time: CPU for a credential over that of the leaner peer',
      bound: { atMost: 0.55 },
      value: cpu,
    },
  ]
}

const MANY_ROWS = 2_000_000

/** One goal for each store, from the scenario without new tokens. */
function rowGoals(results: readonly Result[]): readonly Goal[] {
  const measuredStores = new Set(results.flatMap(({ store }) => store ?? []))
  return [...measuredStores].map((store) => {
    const find = (rows: number): Result | undefined =>
      results.find(
        (result) =>
          result.name === 'csr-rsa-seen' &&
          result.store === store &&
          result.rows === rows &&
          result.connections === 64,
      )
    const with0 = find(0)?.measured.ofRaw
    const withMany = find(MANY_ROWS)?.measured.ofRaw
    return {
      target: `2,000,000 rows over none, ${store}, proxies a second`,
      bound: { atLeast: 0.95 },
      value: with0 === undefined || withMany === undefined ? undefined : withMany / with0,
    }
  })
}

function startGoal(
  starts: Results['starts'],
  { name, text, seconds }: { name: StartName; text: string; seconds: number },
): Goal {
  const ms = starts.find((start) => start.name === name)?.ms
  const value = ms === undefined ? undefined : ms / 1000
  return { target: `seconds until ${text} is ready`, bound: { atMost: seconds }, value }
}

function toVerdict({ target, bound, value }: Goal): Verdict {
  const isLower = 'atLeast' in bound
  const wanted = isLower ? `≥ ${bound.atLeast}` : `≤ ${bound.atMost}`
  if (value === undefined || Number.isNaN(value))
    return { target, wanted, value: undefined, verdict: 'not measured' }
  const isMet = isLower ? value >= bound.atLeast : value <= bound.atMost
  return { target, wanted, value, verdict: isMet ? 'ok' : 'missed' }
}

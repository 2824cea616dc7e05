/** A service, a certcache that renews its proxies, a pool, and three pilots in it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { type CredentialFiles, openGridSite } from '../../support/grid-site.ts'
import { type CondorPool, type CondorProcess, startCondorPool } from '../../support/htcondor.ts'
import { programPath, startProgram } from '../../support/programs.ts'
import { startTestService, type TestService } from '../../support/service.ts'
import { runTts } from '../../support/terminal.ts'

/**
 * The clock of the service is late, so that proxies of the least lifetime, a minute, are valid for this time less.
 * Everything else runs on the clock of the machine.
 */
const SERVICE_LATE_SECONDS = 38
const LEAST_LIFETIME_SECONDS = 60
/** How long a session of a pilot with the collector lasts; one day where nothing is set. */
export const SESSION_SECONDS = 5
const RENEWAL_SECONDS = 3

/** What the collector said of a pilot at one time. */
interface Sample {
  readonly name: string
  readonly identity: string
  /** Unix time of the pilot's last update. */
  readonly lastHeard: number
  /** End of the proxy file of the pilot `renewed` at that time, in ms. */
  readonly proxyEnd: number
}

type Person = 'pilot' | 'submitter'

export interface PilotWorld {
  readonly pool: CondorPool
  /** End of the first proxy of each pilot, in ms. */
  readonly firstEnd: number
  readonly subjects: Readonly<Record<Person, string>>
  /** The map file of the pool. */
  readonly mapLines: readonly string[]
  readonly cacheUrl: string
  samples(): readonly Sample[]
  /** Unix times at which the collector heard from a pilot. */
  updatesOf(pilot: string): readonly number[]
  /** A proxy of this person, valid for four days. Returns its path in the pool. */
  proxyOf(person: Person): Promise<string>
  /** The same and its trust anchors, outside. */
  credential(person: Person): CredentialFiles
  /** Revokes the EEC of the submitter, and writes the CRL for the pool and outside. */
  revokeSubmitter(): Promise<void>
  stop(): Promise<void>
}

/** Starts everything; the pilots join within seconds. */
export async function startPilotWorld(root: string): Promise<PilotWorld> {
  const stops: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0).toReversed()) await each()
  }
  try {
    return await start(root, (each) => void stops.push(each), stop)
  } catch (error) {
    await stop()
    throw error
  }
}

async function start(
  root: string,
  atEnd: (stop: () => Promise<void>) => void,
  stop: () => Promise<void>,
): Promise<PilotWorld> {
  const now = (): Date => new Date(Date.now() - SERVICE_LATE_SECONDS * 1000)
  const service = await startTestService({ now })
  atEnd(() => service.stop())
  const commands = commandsOf(service)
  await commands.obtain('pilot')
  await commands.exportAnchors()
  const cache = await startCertcache(service)
  atEnd(cache.stop)
  const site = await openGridSite(commands.credential('pilot'))
  atEnd(() => site.close())
  const durations = ['MASTER', 'STARTD'].map(
    (daemon) => `SEC_ADVERTISE_${daemon}_SESSION_DURATION = ${SESSION_SECONDS}`,
  )
  const pool = await startCondorPool(root, site, durations.join('\n'))
  atEnd(() => pool.stop())
  await pool.map(mapLines)
  const firstEnd = await startPilots(pool, cache.url, atEnd)
  const watch = watchPilots(pool)
  atEnd(watch.stop)
  return {
    pool,
    firstEnd,
    subjects,
    mapLines,
    cacheUrl: cache.url,
    samples: watch.samples,
    updatesOf: watch.updatesOf,
    proxyOf: async (person) => pool.addProxy(await commands.obtain(person)),
    credential: commands.credential,
    revokeSubmitter: async () => {
      await commands.revoke('submitter')
      await commands.exportAnchors()
      await commands.exportAnchors(site.certDir)
    },
    stop,
  }
}

/** `sub` claims, which the service makes names of. */
const subjects: Readonly<Record<Person, string>> = {
  pilot: '9e499e0e-ce25-485b-9353-d19726fd287a',
  submitter: '5f0c0a3c-1d2e-4c43-9b3f-8d1f2f1e7a01',
}

const mapLines = Object.entries(subjects).map(
  ([person, subject]) => `SSL "/C=EU/O=INDIGO/OU=TTS/CN=${subject}@indigo-iam-test" ${person}@tts`,
)

/** What people and the operator do with `tts`. */
function commandsOf(service: TestService) {
  const path = (name: string): string => join(service.directory, name)
  const tts = async (...words: readonly string[]): Promise<string> => {
    const { code, out, notes } = await runTts(['--config', path('tts.yaml'), ...words])
    if (code !== 0) throw new Error(notes)
    return out
  }
  const credential = (person: Person): CredentialFiles => ({
    proxyPath: path(`${person}-proxy`),
    trustAnchorDir: path('trust-anchors'),
  })
  return {
    credential,
    obtain: async (person: Person) => {
      const token = path(`${person}-token`)
      writeFileSync(token, service.token('alice', { sub: subjects[person] }), { mode: 0o600 })
      const { proxyPath } = credential(person)
      await tts('proxy', 'init', '--url', service.url, '--token-file', token, '--out', proxyPath)
      return proxyPath
    },
    exportAnchors: (directory = path('trust-anchors')) => tts('ca', 'export', directory),
    revoke: async (person: Person) => {
      const selected = ['--sub', subjects[person], '--yes']
      await tts('credential', 'revoke', ...selected, '--reason', 'keyCompromise')
    },
  }
}

/** Starts `certcache serve`, which has a fresh proxy all the time. */
async function startCertcache(service: TestService) {
  const path = (name: string): string => join(service.directory, name)
  const settings = {
    service: { url: service.url },
    source: { token_file: path('pilot-token') },
    listen: { port: 0 },
    state: { directory: path('certcache') },
    proxies: { gwms_proxy: { lifetime_seconds: LEAST_LIFETIME_SECONDS } },
    renewal: { renew_below: 0.95, jitter: 0, warn_below_seconds: 0 },
  }
  writeFileSync(path('certcache.yaml'), stringify(settings), { mode: 0o600 })
  const words = ['serve', '--config', path('certcache.yaml')]
  const program = startProgram(programPath('src/certcache/main.ts'), words)
  const stop = async (): Promise<void> => {
    program.child.kill('SIGKILL')
    await program.ended
  }
  const [, url = ''] = await program.says(/"certcache\.started","url":"(http:[^"]+)"/)
  return { url, stop }
}

/** Settings of get-proxy.sh for proxies that are valid for less than a minute. */
export const shortProxies = { CERTCACHE_WORKER_VALID: '10', CERTCACHE_WORKER_WAIT: '20' }

/**
 * `renewed` fetches a new proxy all the time. `ended` and `connected` keep their first one. `connected` is as HTCondor
 * is by default: it sends all updates over one TCP connection. The other two send them over UDP, and so begin a session
 * when the last one has expired.
 */
async function startPilots(
  pool: CondorPool,
  url: string,
  atEnd: (stop: () => Promise<void>) => void,
): Promise<number> {
  const env = { CERTCACHE_URL: url, ...shortProxies }
  const udp = { _CONDOR_UPDATE_COLLECTOR_WITH_TCP: 'False' }
  const once = { START_GLIDEIN_RENEW_SECONDS: '3600' }
  const often = { START_GLIDEIN_RENEW_SECONDS: String(RENEWAL_SECONDS) }
  const pilots: readonly CondorProcess[] = [
    await pool.startPilot('renewed', { ...env, ...udp, ...often }),
    await pool.startPilot('ended', { ...env, ...udp, ...once }),
    await pool.startPilot('connected', { ...env, ...once }),
  ]
  for (const pilot of pilots) atEnd(() => pilot.stop())
  for (let tries = 0; tries < 200; tries += 1) {
    const ends = ['ended', 'connected'].map((pilot) => proxyEndOf(pool, pilot))
    if (ends.every((end) => end > 0)) return Math.max(...ends)
    await sleep(100)
  }
  throw new Error(`the pilots have no proxy: ${pilots.map((each) => each.output()).join('\n')}`)
}

/** When the proxy file of a pilot ends, in ms; 0 while there is none. */
function proxyEndOf({ site }: CondorPool, pilot: string): number {
  try {
    const text = readFileSync(join(site.directory, pilot, 'gwms_proxy'), 'utf8')
    return parseProxyFile(text).certificates[0]?.validity.notAfter.getTime() ?? 0
  } catch {
    return 0
  }
}

/** Asks the collector twice a second which pilots it has, and when it heard of each. */
export function watchPilots(pool: CondorPool) {
  const samples: Sample[] = []
  const over = new AbortController()
  const loop = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const format = ['-af', 'Name', 'AuthenticatedIdentity', 'LastHeardFrom']
      const { output } = await pool.run(['condor_status', ...format])
      const proxyEnd = proxyEndOf(pool, 'renewed')
      for (const [, name = '', identity = '', heard] of output.matchAll(
        /^slot1@(\w+)@localhost (\S+) (\d+)$/gm,
      ))
        samples.push({ name, identity, lastHeard: Number(heard), proxyEnd })
      await sleep(500)
    }
  }
  const ended = loop()
  return {
    samples: (): readonly Sample[] => samples,
    updatesOf: (pilot: string): readonly number[] => {
      const own = samples.filter(({ name }) => name === pilot)
      return [...new Set(own.map(({ lastHeard }) => lastHeard))]
    },
    stop: async (): Promise<void> => {
      over.abort()
      await ended
    },
  }
}

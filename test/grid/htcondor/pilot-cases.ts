/** Pilots as deploy/htcondor starts them, with proxies of a real service that certcache renews. */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openGridSite } from '../../support/grid-site.ts'
import {
  clientSettings,
  type CondorPool,
  insidePath,
  startCondorPool,
} from '../../support/htcondor.ts'
import { opensslVerify } from '../../support/grid-checks.ts'
import { type PilotWorld, SESSION_SECONDS, shortProxies, watchPilots } from './support.ts'

/** What a busy machine may take beyond the second between two updates of a pilot. */
const LATE_SECONDS = 8

export function pilotCases(root: string, started: () => PilotWorld): void {
  describe('pilots', () => {
    let world: PilotWorld
    beforeAll(() => {
      world = started()
    })

    test('join the pool, mapped by DN', async () => {
      await expect
        .poll(() => [...new Set(world.samples().map(({ name }) => name))].sort())
        .toEqual(['connected', 'ended', 'renewed'])
      expect(new Set(world.samples().map(({ identity }) => identity))).toEqual(
        new Set(['pilot@tts']),
      )
    })

    test('run a job that was submitted with a proxy, and has it', async () => {
      const { pool } = world
      const job = await submit(pool, await world.proxyOf('submitter'))
      await expect.poll(() => job.query('JobStatus'), { interval: 300 }).toBe('4')
      expect(await job.query('User')).toBe('submitter@tts')
      expect(await job.result()).toContain(`${world.subjects.submitter}@indigo-iam-test`)
    })

    test('stay without a gap while certcache renews, and beyond the end of their first proxy', async () => {
      await sleepUntil(world.firstEnd + (SESSION_SECONDS + LATE_SECONDS) * 1000)
      const updates = world.updatesOf('renewed')
      const gaps = updates.slice(1).map((at, index) => at - (updates[index] ?? at))
      expect(Math.max(...gaps)).toBeLessThanOrEqual(LATE_SECONDS)
      expect(updates.at(-1)).toBeGreaterThan(world.firstEnd / 1000 + SESSION_SECONDS)
      const ends = new Set(world.samples().map(({ proxyEnd }) => proxyEnd))
      expect(ends.size).toBeGreaterThan(2)
    })

    test('are lost when their proxy ends and a new session begins', () => {
      const last = world.updatesOf('ended').at(-1) ?? Infinity
      expect(last).toBeGreaterThan(world.firstEnd / 1000 - LATE_SECONDS)
      expect(last).toBeLessThanOrEqual(world.firstEnd / 1000 + SESSION_SECONDS + 1)
    })

    test('stay beyond the end of their proxy on a connection that is open', () => {
      const last = world.updatesOf('connected').at(-1)
      expect(last).toBeGreaterThan(world.firstEnd / 1000 + SESSION_SECONDS)
    })

    test('are let in with a revoked proxy: HTCondor reads no CRL', async () => {
      const { pool } = world
      const proxy = await world.proxyOf('submitter')
      const verify = () => opensslVerify(world.credential('submitter'), ['-crl_check_all'])
      const accepted = { READ: 'submitter@tts' }
      expect(await verify()).toMatchObject({ status: 0 })
      expect(await pool.ping(proxy)).toMatchObject(accepted)
      await world.revokeSubmitter()
      expect((await verify()).output).toContain('certificate revoked')
      expect(await pool.ping(proxy)).toMatchObject(accepted)
    })

    test('without their line in the map file no session begins; only DENY ends one', async () => {
      const site = await openGridSite(world.credential('pilot'))
      onTestFinished(() => site.close())
      const pool = await startCondorPool(root, site)
      onTestFinished(() => pool.stop())
      await pool.map(world.mapLines)
      const pilot = await pool.startPilot('banned', {
        CERTCACHE_URL: world.cacheUrl,
        ...shortProxies,
      })
      onTestFinished(() => pilot.stop())
      const watch = watchPilots(pool)
      onTestFinished(watch.stop)
      const isHeardAfter = (time: number) => (watch.updatesOf('banned').at(-1) ?? 0) > time
      await expect.poll(() => isHeardAfter(0)).toBe(true)

      await pool.map([])
      expect(await pool.ping(await pool.addProxy(world.credential('pilot').proxyPath))).toEqual({
        ADVERTISE_STARTD: 'refused',
        WRITE: 'ssl@unmapped',
        READ: 'ssl@unmapped',
      })
      const removed = Date.now() / 1000
      await expect.poll(() => isHeardAfter(removed + 2)).toBe(true)

      await pool.configure('DENY_ADVERTISE_STARTD = pilot@tts')
      const denied = Date.now() / 1000
      await sleep(3000)
      expect(isHeardAfter(denied + 1)).toBe(false)
      expect(await pool.log('CollectorLog')).toContain(
        'PERMISSION DENIED to pilot@tts from host 127.0.0.1 for command 0 (UPDATE_STARTD_AD)',
      )
    })
  })
}

const sleepUntil = (time: number): Promise<void> => sleep(Math.max(0, time - Date.now()))

/** Submits a job from another machine, so to say, that prints whose proxy it has. */
async function submit(pool: CondorPool, proxy: string) {
  const { site, collector } = pool
  const directory = join(site.directory, 'job')
  mkdirSync(directory)
  const lines = [
    'executable = /bin/sh',
    'transfer_executable = False',
    `arguments = "-c 'openssl x509 -noout -issuer -in $X509_USER_PROXY'"`,
    `x509userproxy = ${proxy}`,
    'requirements = regexp("@renewed@", TARGET.Name)',
    'should_transfer_files = YES',
    'output = out',
    'queue',
  ]
  writeFileSync(join(directory, 'job.sub'), lines.join('\n'))
  chownSync(directory, site.user.uid, site.user.gid)
  const run = async (...words: readonly string[]): Promise<string> => {
    const inside = ['sh', '-c', 'cd "$0" && exec "$@"', insidePath(site, directory), ...words]
    const env = { ...clientSettings, X509_USER_PROXY: proxy }
    const { status, output } = await pool.run(inside, env)
    if (status !== 0) throw new Error(output)
    return output
  }
  const schedd = 'nobody@localhost'
  const remote = ['-pool', collector, '-name', schedd]
  await run('condor_submit', '-pool', collector, '-remote', schedd, 'job.sub')
  return {
    query: async (attribute: string) =>
      (await run('condor_q', ...remote, '-all', '-af', attribute)).trim(),
    result: async () => {
      await run('condor_transfer_data', ...remote, '-all')
      return readFileSync(join(directory, 'out'), 'utf8')
    },
  }
}

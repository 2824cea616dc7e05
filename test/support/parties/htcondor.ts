/** HTCondor's collector, asked with condor_ping. One pool judges all credentials, one after another. */
import { chmod, cp, mkdtemp, rename, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { GridSite } from '../grid-site.ts'
import { type CondorPool, insidePath } from '../htcondor.ts'
import type { PatientFiles, Refusal } from './party.ts'

/** The link to the trust anchors of the credential that is judged. */
const CURRENT = 'current-anchors'

/** Settings of a pool that `judgeByHtcondor` asks. HTCondor reads the directory at each authentication. */
export const judgingPool = (site: GridSite): string =>
  `AUTH_SSL_SERVER_CADIR = ${insidePath(site, join(site.directory, CURRENT))}`

/** Shows each credential to the collector of a pool with those settings. */
export async function judgeByHtcondor(
  pool: CondorPool,
  patients: readonly PatientFiles[],
): Promise<readonly Refusal[]> {
  await pool.map(['SSL /.*/ somebody@tts'])
  const refusals: Refusal[] = []
  for (const patient of patients) {
    await trust(pool, patient.trustAnchorDir)
    const proxy = await pool.addProxy(patient.proxyPath)
    const { READ: identity } = await pool.ping(proxy)
    const isAccepted = identity === 'somebody@tts'
    refusals.push(isAccepted ? undefined : (await pool.log('CollectorLog')).slice(-1500))
  }
  return refusals
}

async function trust({ site }: CondorPool, trustAnchorDir: string): Promise<void> {
  const copy = await mkdtemp(join(site.directory, 'anchors-'))
  await chmod(copy, 0o755)
  await cp(trustAnchorDir, copy, { recursive: true, verbatimSymlinks: true })
  const link = `${copy}-link`
  await symlink(basename(copy), link)
  await rename(link, join(site.directory, CURRENT))
}

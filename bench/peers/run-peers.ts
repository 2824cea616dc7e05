/** Measures the peers, each alone, with the signing key, the CSRs and the tokens that ours gets. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { measure } from '../measure.ts'
import type { Result } from '../results.ts'
import type { Run } from '../run-stage.ts'
import { makePeerAuthority } from './authority.ts'
import { fulcio } from './fulcio.ts'
import { installPeer } from './install.ts'
import type { InstalledPeer, Peer } from './peer.ts'
import { stepCa } from './step-ca.ts'

const CONNECTIONS = 64

export interface PeerResults {
  readonly results: readonly Result[]
  /** Which could not be measured, and why. */
  readonly skipped: readonly string[]
  /** Which broke off. */
  readonly errors: readonly string[]
}

export async function runPeers(run: Run): Promise<PeerResults> {
  const authority = await makePeerAuthority(join(run.world.directory, 'peer-authority'))
  const results: Result[] = []
  const skipped: string[] = []
  const errors: string[] = []
  for (const peer of [stepCa, fulcio]) {
    run.say(`${peer.name}: building it, unless it was built before`)
    const found = await installPeer(peer)
    if ('missing' in found) skipped.push(found.missing)
    else {
      const directory = join(run.world.directory, peer.name)
      await mkdir(directory)
      const measuring = runPeer(run, peer, { ...found, authority, directory })
      await measuring.then(
        (result) => void results.push(result),
        (error: unknown) => void errors.push(`${peer.name}: ${String(error)}`),
      )
    }
  }
  return { results, skipped, errors }
}

async function runPeer(run: Run, peer: Peer, installed: InstalledPeer): Promise<Result> {
  const { world, meter, options } = run
  const target = await peer.start(world, installed)
  try {
    const measured = await measure(peer.workload(world, target), {
      directory: world.directory,
      meter,
      rawWork: 'rsa-2048 signature',
      connections: CONNECTIONS,
      seconds: options.seconds,
      rounds: options.rounds,
      say: run.say,
    })
    const { name } = peer
    run.say(`${name}: ${measured.perSecond.toFixed(1)} a second`)
    const title = `${peer.title} ${peer.version}, a new token each time`
    const rest = { isPeer: true, store: undefined, rows: 0, connections: CONNECTIONS }
    return { name, title, ...rest, measured }
  } finally {
    await target.stop()
  }
}

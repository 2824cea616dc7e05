/**
 * Measures the peers, and ours in turn with them, with the same signing key, CSRs and tokens. All run at the same time,
 * but those that are not asked spend nothing.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { measureInTurn } from '../measure.ts'
import type { Result } from '../results.ts'
import type { Run } from '../run-stage.ts'
import { scenarios } from '../scenarios/all.ts'
import type { Workload } from '../scenarios/scenario.ts'
import { startService } from '../service.ts'
import { OWN_BESIDE_PEERS } from '../targets.ts'
import { makePeerAuthority } from './authority.ts'
import { fulcio } from './fulcio.ts'
import { installPeer } from './install.ts'
import { stepCa } from './step-ca.ts'

const CONNECTIONS = 64

export interface PeerResults {
  readonly results: readonly Result[]
  /** Which could not be measured, and why. */
  readonly skipped: readonly string[]
  /** Which broke off. */
  readonly errors: readonly string[]
}

/** A service that is ready to be measured. */
interface Contender extends Pick<Result, 'name' | 'title' | 'isPeer' | 'store'> {
  readonly workload: Workload
  readonly stop: () => Promise<void>
}

export async function runPeers(run: Run): Promise<PeerResults> {
  const contenders: Contender[] = []
  try {
    const { skipped, errors } = await startPeers(run, contenders)
    if (contenders.length === 0) return { results: [], skipped, errors }
    contenders.unshift(await startOwn(run))
    return { results: await measureAll(run, contenders), skipped, errors }
  } finally {
    for (const { stop } of contenders) await stop()
  }
}

/** Adds those that can be had and start. */
async function startPeers(
  { world, say }: Run,
  contenders: Contender[],
): Promise<Pick<PeerResults, 'skipped' | 'errors'>> {
  const authority = await makePeerAuthority(join(world.directory, 'peer-authority'))
  const skipped: string[] = []
  const errors: string[] = []
  for (const peer of [stepCa, fulcio]) {
    say(`${peer.name}: building it, unless it was built before`)
    const found = await installPeer(peer)
    if ('missing' in found) {
      skipped.push(found.missing)
      continue
    }
    try {
      const directory = join(world.directory, peer.name)
      await mkdir(directory)
      const target = await peer.start(world, { ...found, authority, directory })
      const title = `${peer.title} ${peer.version}, a new token each time`
      const workload = peer.workload(world, target)
      contenders.push({
        name: peer.name,
        title,
        isPeer: true,
        store: undefined,
        workload,
        stop: target.stop,
      })
    } catch (error) {
      errors.push(`${peer.name}: ${String(error)}`)
    }
  }
  return { skipped, errors }
}

async function startOwn({ world }: Run): Promise<Contender> {
  const scenario = scenarios.get('csr-rsa-new')
  if (scenario === undefined) throw new Error('there is no scenario csr-rsa-new')
  const { provider, fromSources } = world
  const directory = join(world.directory, 'beside-peers')
  await mkdir(directory, { mode: 0o700 })
  const { endEntityKeyKind } = scenario
  const target = await startService({ directory, provider, endEntityKeyKind, fromSources })
  const workload = await scenario.prepare(world, target)
  const stop = async (): Promise<void> => {
    await workload.close?.()
    await target.stop()
  }
  const title = `${scenario.title}, in turn with the peers`
  return { name: OWN_BESIDE_PEERS, title, isPeer: false, store: 'sqlite', workload, stop }
}

async function measureAll(
  { world, meter, options, say }: Run,
  contenders: readonly Contender[],
): Promise<readonly Result[]> {
  const measured = await measureInTurn(
    contenders.map(({ workload }) => workload),
    {
      directory: world.directory,
      meter,
      rawWork: 'rsa-2048 signature',
      connections: CONNECTIONS,
      seconds: options.seconds,
      rounds: options.rounds,
      say,
    },
  )
  return contenders.flatMap(({ name, title, isPeer, store }, index) => {
    const one = measured[index]
    if (one === undefined) return []
    say(`${name}: ${one.perSecond.toFixed(1)} a second`)
    return [{ name, title, isPeer, store, rows: 0, connections: CONNECTIONS, measured: one }]
  })
}

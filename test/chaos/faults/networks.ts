/**
 * Packets that are dropped without an answer, in both directions, by the packet filter of our own network namespace.
 * Each replica reaches the database under an address of its own.
 */
import { execFileSync } from 'node:child_process'
import type { ChaosSystem } from '../system.ts'
import type { Fault } from './fault.ts'

/** What a packet is to or from. */
interface End {
  readonly address: string
  readonly port: number
}

export function blackHoles(system: ChaosSystem): readonly Fault[] {
  const { machine, databaseAddresses, pair, watched } = system
  if (machine.missing.network !== undefined) return []
  const ends = databaseAddresses.map((address) =>
    [pair.first, pair.second].map(({ port }) => ({ address, port })),
  )
  return [
    blackHole('one replica, or the certcaches, and the database', ends),
    blackHole('everybody and the database', [ends.flat()]),
    blackHole('everybody and the provider', [
      [{ address: '127.0.0.1', port: watched.provider.port }],
    ]),
  ]
}

function blackHole(name: string, choices: readonly (readonly End[])[]): Fault {
  let dropped: End[] = []
  return {
    name: `network cut: ${name}`,
    kind: 'network',
    async inject(random) {
      dropped = [...random.pick(choices)]
      for (const end of dropped) filter('--append', end)
      return 0
    },
    async heal() {
      for (const end of dropped.splice(0)) filter('--delete', end)
    },
  }
}

function filter(action: '--append' | '--delete', { address, port }: End): void {
  for (const [where, which] of [
    ['--destination', '--dport'],
    ['--source', '--sport'],
  ] as const) {
    const packet = [where, address, '--protocol', 'tcp', which, String(port)]
    execFileSync('iptables', ['--wait', action, 'INPUT', ...packet, '--jump', 'DROP'])
  }
}

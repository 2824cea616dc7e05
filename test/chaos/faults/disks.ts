/** A disk with no byte left: that of the services, or that of the certcaches. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { systemErrorCode } from '../../../src/base/system-error.ts'
import type { ChaosSystem } from '../system.ts'
import type { Fault } from './fault.ts'

export function fullDisks({ disks, machine }: ChaosSystem): readonly Fault[] {
  // Without a small disk of our own the disk of the host would be filled.
  if (machine.missing.disk !== undefined) return []
  return Object.entries(disks).map(([name, path]) => {
    const filler = join(path, 'filler')
    return {
      name: `disk full: ${name}`,
      kind: 'disk',
      async inject() {
        fill(filler)
        return 0
      },
      heal: async () => rmSync(filler, { force: true }),
    }
  })
}

/** In pieces that get smaller, down to the last byte. */
function fill(path: string): void {
  const file = openSync(path, 'w', 0o600)
  try {
    for (let size = 1 << 20; size >= 1; size = Math.floor(size / 2)) fillWith(file, size)
  } finally {
    closeSync(file)
  }
}

function fillWith(file: number, size: number): void {
  const piece = Buffer.alloc(size)
  try {
    for (;;) if (writeSync(file, piece) < size) return
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOSPC') throw error
  }
}

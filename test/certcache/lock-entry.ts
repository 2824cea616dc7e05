/** Run by kill.test.ts in a process of its own: holds the lock of a state until it is killed. */
import { writeSync } from 'node:fs'
import { openState, type StateLocation } from '../../src/certcache/state/open-state.ts'

const place = JSON.parse(process.argv[2] ?? '') as StateLocation
const store = await openState(place, process.getuid?.() ?? 0)
const lock = await store.tryLock('renewer')
writeSync(1, lock === undefined ? 'taken\n' : 'held\n')
setInterval(() => undefined, 1000)

/** Clocks that are set: of one process, or of all as by a wrong time server; forwards, and back. */
import type { ChaosSystem } from '../system.ts'
import type { Fault } from './fault.ts'

/** Longest step. A token that ended before is expired for every clock of the suite. */
const STEPS_SECONDS = [-3600, -600, -100, -20, 20, 100, 600, 3600]

export function wrongClocks({ clocks, machine }: ChaosSystem): readonly Fault[] {
  if (machine.missing.clock !== undefined) return []
  const heal = async (): Promise<void> => {
    for (const clock of clocks) clock.setWrong(0)
  }
  return [
    {
      name: 'clock step: one process',
      kind: 'clock',
      async inject(random) {
        random.pick(clocks).setWrong(random.pick(STEPS_SECONDS))
        return 0
      },
      heal,
    },
    {
      name: 'clock step: all processes',
      kind: 'clock',
      async inject(random) {
        const seconds = random.pick(STEPS_SECONDS)
        for (const clock of clocks) clock.setWrong(seconds)
        return 0
      },
      heal,
    },
  ]
}

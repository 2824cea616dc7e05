/** How many files and connections this process may have open. */
import { readFileSync } from 'node:fs'

/** Undefined where the system does not say it in /proc. Node has raised the soft limit to the hard one at its start. */
export function openFilesLimit(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1')
    const [, soft] = /^Max open files +(\d+)/m.exec(limits) ?? []
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}

import { readdir, readFile } from 'node:fs/promises'

/**
 * Numbers of the processes that are `sleep` for this time: of a program that a test started, and which should be gone.
 */
export async function sleepers(nap: string): Promise<readonly number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    const words = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')
    const [program = '', time] = words.split('\0')
    if (/^(.*\/)?sleep$/.test(program) && time === nap) found.push(Number(name))
  }
  return found
}

/** How our code is bundled, into `dist/` and into the single executable file. */
import { type RolldownBuild, rolldown } from 'rolldown'

/** Starts a bundle. Warnings are errors. @param input source files, from the root; by name if there are several */
export function startBundle(
  root: string,
  input: string | Readonly<Record<string, string>>,
): Promise<RolldownBuild> {
  return rolldown({
    cwd: root,
    input: typeof input === 'string' ? input : { ...input },
    platform: 'node',
    // Of pg, which tries whether it is installed.
    external: ['pg-native'],
    onLog(level, log, handle) {
      if (level === 'warn') throw new Error(log.message)
      handle(level, log)
    },
  })
}

/** Where the programs of this project are. */
import { fileURLToPath } from 'node:url'

/** The built program, as operators run it, or its TypeScript source, which needs no build. */
export function ownProgram(name: 'cli' | 'certcache', fromSources: boolean): string {
  const path = fromSources
    ? `../src/${name}/main.ts`
    : `../dist/${name === 'cli' ? 'tts' : 'certcache'}.js`
  return fileURLToPath(new URL(path, import.meta.url))
}

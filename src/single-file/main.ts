/**
 * Entry point of the single executable file: `tts`, `certcache` (by that name, or as `tts certcache`), and the process
 * that refreshes tokens. Node takes CommonJS there, without an `await` outside of functions.
 */
import { basename } from 'node:path'
import { REFRESH_PROCESS } from '../base/own-code.ts'

async function main(): Promise<void> {
  const words = process.argv.slice(2)
  if (words[0] === REFRESH_PROCESS) {
    await import('../refresh-helper/refresh-process.ts')
    return
  }
  const isCertcache = basename(process.argv0) === 'certcache'
  if (isCertcache || words[0] === 'certcache') {
    const { startCertcache } = await import('../certcache/run.ts')
    await startCertcache(isCertcache ? words : words.slice(1))
    return
  }
  const { startTts } = await import('../cli/run.ts')
  await startTts(words)
}

void main()

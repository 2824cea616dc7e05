#!/usr/bin/env node
/** Entry point of `tts`. It loads the program only after the check of the Node version. */
import { useCompileCache } from '../base/compile-cache.ts'
import { hasRequiredNode } from '../base/required-node.ts'

if (hasRequiredNode('tts')) {
  useCompileCache()
  const { startTts } = await import('./run.ts')
  await startTts(process.argv.slice(2))
}

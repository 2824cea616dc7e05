#!/usr/bin/env node
/** Entry point of `tts`. It loads the program only after the check of the Node version. */
import { useCompileCache } from '../base/compile-cache.ts'
import { requireNode } from '../base/required-node.ts'

requireNode('tts')
useCompileCache()
await import('./run.ts')

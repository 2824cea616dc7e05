#!/usr/bin/env node
/** Entry point of `tts`. It loads the program only after the check of the Node version. */
import { requireNode } from '../base/required-node.ts'

requireNode('tts')
await import('./run.ts')

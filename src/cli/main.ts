#!/usr/bin/env node
/** Entry of `tts`. Only when Node is known to run it is the program loaded. */
import { requireNode } from '../base/required-node.ts'

requireNode('tts')
await import('./run.ts')

#!/usr/bin/env node
/** Entry of `certcache`. Only when Node is known to run it is the program loaded. */
import { requireNode } from '../base/required-node.ts'

requireNode('certcache')
await import('./run.ts')

#!/usr/bin/env node
/** Entry point of `certcache`. Checks the version of Node before it loads the program. */
import { requireNode } from '../base/required-node.ts'

requireNode('certcache')
await import('./run.ts')

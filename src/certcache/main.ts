#!/usr/bin/env node
/** Entry point of `certcache`. Checks the version of Node before it loads the program. */
import { useCompileCache } from '../base/compile-cache.ts'
import { requireNode } from '../base/required-node.ts'

requireNode('certcache')
useCompileCache()
await import('./run.ts')

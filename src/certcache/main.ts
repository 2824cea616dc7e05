#!/usr/bin/env node
/** Entry point of `certcache`. Checks the version of Node before it loads the program. */
import { useCompileCache } from '../base/compile-cache.ts'
import { hasRequiredNode } from '../base/required-node.ts'

if (hasRequiredNode('certcache')) {
  useCompileCache()
  const { startCertcache } = await import('./run.ts')
  await startCertcache(process.argv.slice(2))
}

/** The built-in plugins by id. Adding one: write its folder, add its line here. */
import type { Plugin } from './plugin.ts'
import { x509Certificate } from './x509-certificate/index.ts'
import { x509Proxy } from './x509-proxy/index.ts'

export const plugins: ReadonlyMap<string, Plugin> = new Map(
  [x509Proxy, x509Certificate].map((plugin) => [plugin.id, plugin as unknown as Plugin]),
)

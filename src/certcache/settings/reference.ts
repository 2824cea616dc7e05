/** docs/certcache-configuration.md, made from the schema. */
import { referenceOf } from '../../config/reference.ts'
import { certcacheSchema } from './settings.ts'

const HEAD = `# Configuration of certcache

Made from the schema by \`npm run docs\`; do not edit. What it is for stands in [certcache](certcache.md).

One YAML file: \`--config FILE\`, else \`CERTCACHE_CONFIG\`, else \`./certcache.yaml\`, else \`/etc/certcache/certcache.yaml\`; with
none of them everything has its default. Every key can be set by \`CERTCACHE_\` and the key in capitals, levels parted by two
underscores, and the names of DODAS's ttscache set the keys that took their place.

\`\`\`yaml
service:
  url: https://tts.example.org
proxies:
  gwms_proxy:
    outputs: [{ path: /run/certcache/gwms_proxy, owner: condor, group: condor }]
  limited:
    type: limited
    hook: [/usr/bin/systemctl, reload, xcache]
\`\`\`
`

/** The whole document. */
export function certcacheReference(): string {
  return referenceOf(HEAD, certcacheSchema)
}

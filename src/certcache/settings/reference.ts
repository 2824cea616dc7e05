/** Generates docs/certcache-configuration.md from the schema. */
import { referenceOf } from '../../config/reference.ts'
import { certcacheSchema } from './settings.ts'

const HEAD = `# Configuration of certcache

Generated from the schema by \`npm run docs\`; do not edit. [certcache](certcache.md) explains the program.

The settings are one YAML file: \`--config FILE\`, or \`CERTCACHE_CONFIG\`, \`./certcache.yaml\`, \`/etc/certcache/certcache.yaml\`,
whichever is found first. Without a file every key has its default. An environment variable can set each key: \`CERTCACHE_\`
and the key in capitals, with two underscores between the levels. The variables of DODAS's ttscache set the keys that
replaced them.

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

/** Returns the document in Markdown. */
export function certcacheReference(): string {
  return referenceOf(HEAD, certcacheSchema)
}

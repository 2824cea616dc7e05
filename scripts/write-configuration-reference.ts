/** `npm run docs`: writes the references in docs/ from the schemas. */
import { writeFileSync } from 'node:fs'
import { certcacheReference } from '../src/certcache/settings/reference.ts'
import { configurationReference } from '../src/config/reference.ts'

writeFileSync('docs/configuration.md', configurationReference())
writeFileSync('docs/certcache-configuration.md', certcacheReference())

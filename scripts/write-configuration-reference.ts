/** `npm run docs`: writes the references in docs/ from the schemas and the table of errors. */
import { readFileSync, writeFileSync } from 'node:fs'
import { errorTable } from '../src/api/error-codes.ts'
import { certcacheReference } from '../src/certcache/settings/reference.ts'
import { configurationReference } from '../src/config/reference.ts'

writeFileSync('docs/configuration.md', configurationReference())
writeFileSync('docs/certcache-configuration.md', certcacheReference())

const COMMAND_LINE = 'docs/command-line.md'
const written = readFileSync(COMMAND_LINE, 'utf8')
const table = /^\| code +\| status .*(?:\n\|.*)+/m
if (!table.test(written)) throw new Error(`${COMMAND_LINE} has no table of errors`)
writeFileSync(COMMAND_LINE, written.replace(table, errorTable))

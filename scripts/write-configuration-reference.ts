/** `npm run docs`: writes the references in docs/ from the schemas and the table of error codes. */
import { readFileSync, writeFileSync } from 'node:fs'
import { errorTable } from '../src/api/error-codes.ts'
import { certcacheReference } from '../src/certcache/settings/reference.ts'
import { configurationReference } from '../src/config/reference.ts'

writeFileSync('docs/configuration.md', configurationReference())
writeFileSync('docs/certcache-configuration.md', certcacheReference())

const COMMAND_LINE = 'docs/command-line.md'
const commandLine = readFileSync(COMMAND_LINE, 'utf8')
const table = /^\| code +\| status .*(?:\n\|.*)+/m
if (!table.test(commandLine)) throw new Error(`${COMMAND_LINE} has no table of errors`)
writeFileSync(COMMAND_LINE, commandLine.replace(table, errorTable))

/** `npm run docs`: writes docs/configuration.md from the schema. */
import { writeFileSync } from 'node:fs'
import { configurationReference } from '../src/config/reference.ts'

writeFileSync('docs/configuration.md', configurationReference())

/** `npm run docs`: writes the types of the clients. */
import { writeFileSync } from 'node:fs'
import { format, resolveConfig } from 'prettier'
import { pythonTypes, typescriptTypes } from './client-types.ts'

const TYPESCRIPT = 'clients/typescript/src/api-types.ts'
const options = { ...(await resolveConfig(TYPESCRIPT)), parser: 'typescript' }
writeFileSync(TYPESCRIPT, await format(typescriptTypes(), options))
writeFileSync('clients/python/src/tts_client/api_types.py', pythonTypes())

/**
 * Run by kill tests in a process of its own: the whole service, from its configuration file, until it is killed or
 * asked to stop.
 */
import { writeSync } from 'node:fs'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { serve } from '../../src/service/serve.ts'

const running = await serve(
  await loadConfiguration(process.argv[2], {}),
  createLog({ level: 'error', name: 'tts', destination: { write: (line) => writeSync(2, line) } }),
)
process.once('SIGTERM', () => void running.stop())
writeSync(1, `${running.url}\n`)

/**
 * The service in a process of its own, for attacks: with a heap that an attack can fill, and what it used of it on
 * request.
 */
import { writeSync } from 'node:fs'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { serve } from '../../src/service/serve.ts'

const running = await serve(
  await loadConfiguration(process.argv[2], {}),
  createLog({ level: 'fatal', name: 'tts' }),
)
process.once('SIGTERM', () => void running.stop())
process.on('SIGUSR2', () => {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  writeSync(1, `memory ${heapUsed + external}\n`)
})
writeSync(1, `listening ${running.url}\n`)

/** Starts the bare Node server. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startProgram, type Target } from './programs.ts'

const program = fileURLToPath(new URL('./bare-server.ts', import.meta.url))

/** @param answerBytes size of a whole answer, head included */
export async function startBareServer(directory: string, answerBytes: number): Promise<Target> {
  const logFile = join(directory, 'bare-server.log')
  const started = startProgram(process.execPath, [program, String(answerBytes)], { logFile })
  const [, port] = await started.says(/listening on (\d+)/)
  return { url: `http://127.0.0.1:${port}`, pid: started.pid, stop: started.stop }
}

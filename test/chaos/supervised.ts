/** Processes that are started again when they end, as systemd or Kubernetes does it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '../support/programs.ts'

/** As `RestartSec` of a unit would be. */
const RESTART_MS = 500

/** Something that can be killed and comes back by itself. */
export interface Victim {
  readonly name: string
  /** `kill -9`; resolves when it is dead. False: it was not running. */
  kill(): Promise<boolean>
  /** Ends it for good. */
  stop(): Promise<void>
}

/** @param launch starts the process and does not wait until it is ready */
export function supervise(name: string, launch: () => Started, running?: Started): Victim {
  let started = running ?? launch()
  let isOver = false
  const watching = (async () => {
    for (;;) {
      await started.ended
      if (isOver) return
      await sleep(RESTART_MS)
      if (isOver) return
      started = launch()
    }
  })()
  const isRunning = (): boolean =>
    started.child.exitCode === null && started.child.signalCode === null
  return {
    name,
    async kill() {
      if (!isRunning()) return false
      started.child.kill('SIGKILL')
      await started.ended
      return true
    },
    async stop() {
      isOver = true
      if (isRunning()) started.child.kill('SIGKILL')
      await watching
    },
  }
}

/** The same for a server that has its own way to be started, and that cannot always be started at once. */
export function superviseServer(
  name: string,
  server: { kill(): Promise<void>; start(): Promise<void> },
): Victim {
  const over = new AbortController()
  let starting: Promise<void> | undefined
  const startAgain = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await sleep(RESTART_MS)
      // PostgreSQL refuses while processes of the killed one are still ending.
      const failure = await server.start().then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failure === undefined) return
      await server.kill()
    }
  }
  return {
    name,
    async kill() {
      if (starting !== undefined) return false
      await server.kill()
      starting = startAgain().finally(() => {
        starting = undefined
      })
      return true
    },
    async stop() {
      over.abort()
      await starting
    },
  }
}

/** Writes all Secrets of one proxy, then restarts what reads them only at its start. */
import type { HeldProxy } from '../../proxy-engine.ts'
import type { SecretSettings } from '../../settings/kubernetes-settings.ts'
import { restartIfOlder, type Workload, workloadOf } from './restart.ts'
import { type SecretWriter, writeSecret } from './secret-output.ts'

/**
 * Writes every Secret that can be written; one that fails does not stop the others.
 *
 * @returns whether anything was written
 * @throws {TtsError} the first error, after all attempts
 */
export async function writeSecrets(
  writer: SecretWriter,
  settings: readonly SecretSettings[],
  proxy: HeldProxy,
): Promise<boolean> {
  const writes = await Promise.allSettled(
    settings.map(async (secret) => ({ secret, ...(await writeSecret(writer, secret, proxy)) })),
  )
  const done = writes.flatMap((write) => (write.status === 'fulfilled' ? [write.value] : []))
  // Also when nothing was written now: an earlier attempt may have got no further.
  const restarts = new Map<string, { readonly workload: Workload; readonly writtenAt: Date }>()
  for (const { secret, writtenAt } of done)
    for (const text of writtenAt === undefined ? [] : secret.restart) {
      const workload = workloadOf(text, secret.namespace ?? (await writer.api.namespace()))
      const known = restarts.get(workload.path)
      // A workload with several Secrets is restarted once, after the last of them.
      if (writtenAt !== undefined && !(known !== undefined && known.writtenAt >= writtenAt))
        restarts.set(workload.path, { workload, writtenAt })
    }
  const ends = await Promise.allSettled(
    [...restarts.values()].map(async ({ workload, writtenAt }) =>
      restartIfOlder(writer.api, workload, writtenAt),
    ),
  )
  for (const end of [...writes, ...ends]) if (end.status === 'rejected') throw end.reason
  return done.some(({ written }) => written)
}

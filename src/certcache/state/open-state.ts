/** Opens the state that the settings name: the same for certcache and `certcache login`. */
import { openFileState } from './file-state.ts'
import { openPostgresState } from './postgres-state.ts'
import { loadStateKey } from './state-key.ts'
import type { StateStore } from './state-store.ts'

/** Where the state is; `url` is secret. */
export interface StatePlace {
  readonly directory: string
  readonly key_file: string
  readonly cluster: string
  readonly url?: string | undefined
}

/**
 * @param mayCreate false where the state is only looked at: none is made
 * @throws {TtsError} `configuration` when the key or the directory cannot be used
 */
export async function openState(
  place: StatePlace,
  uid: number,
  mayCreate = true,
): Promise<StateStore> {
  const { directory, key_file: keyFile, cluster, url } = place
  if (url === undefined) return openFileState({ directory, keyFile, cluster, uid, mayCreate })
  return openPostgresState({ url, cluster, key: await loadStateKey(keyFile, false) })
}

/** Opens the state that the settings name, for all commands. */
import { openFileState } from './file-state.ts'
import { openPostgresState, placeOfDatabase } from './postgres-state.ts'
import { loadStateKey } from './state-key.ts'
import type { StateStore } from './state-store.ts'

/** Location of the state. `url` is secret: it may hold a password. */
export interface StateLocation {
  readonly directory: string
  readonly key_file: string
  readonly cluster: string
  readonly url?: string | undefined
}

/** Names the place of the state for people, without secrets: its directory, or its database. */
export function placeOfState({ directory, url }: StateLocation): string {
  return url === undefined ? directory : placeOfDatabase(url)
}

/**
 * Opens the state.
 *
 * @param uid numeric id of the user who must own a state directory
 * @param mayCreate whether to create a missing state
 * @throws {TtsError} `configuration` when the key or the directory cannot be used
 */
export async function openState(
  location: StateLocation,
  uid: number,
  mayCreate = true,
): Promise<StateStore> {
  const { directory, key_file: keyFile, cluster, url } = location
  if (url === undefined) return openFileState({ directory, keyFile, cluster, uid, mayCreate })
  return openPostgresState({ url, cluster, key: await loadStateKey(keyFile, false) })
}

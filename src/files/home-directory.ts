import { homedir } from 'node:os'
import type { Environment } from '../config/settings-tree.ts'

/**
 * Returns the home directory; undefined for a user id without one. Containers often run as an id that is not in passwd,
 * for which the system has no answer.
 */
export function homeDirectory(environment: Environment): string | undefined {
  const { HOME: home } = environment
  if (home !== undefined && home !== '') return home
  try {
    return homedir()
  } catch {
    return undefined
  }
}

/**
 * The CAs of a roll-over of the key: `ca-next/` has the CA that will be used next, `ca-former/ID/` those that were used
 * before. Both have the files of `ca/`.
 */
import { existsSync } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cannotRead, cannotWrite } from './file-errors.ts'
import { makeDirectory } from './directory.ts'

export const NEXT_PLACE = 'ca-next'
const FORMER = 'ca-former'

/** Returns the directory of a former CA, relative to the data directory. */
export const formerPlace = (shortId: string): string => `${FORMER}/${shortId}`

/**
 * Returns the directories of all CAs but the current one, relative to the data directory.
 *
 * @throws {TtsError} `configuration`
 */
export async function otherPlaces(
  dataDirectory: string,
): Promise<readonly { readonly place: string; readonly role: 'next' | 'former' }[]> {
  const directory = join(dataDirectory, FORMER)
  const former = await readdir(directory).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw cannotRead(directory, error, { code: 'configuration' })
  })
  return [
    ...(existsSync(join(dataDirectory, NEXT_PLACE, 'ca.pem'))
      ? [{ place: NEXT_PLACE, role: 'next' as const }]
      : []),
    ...former
      .filter((name) => /^[0-9a-f]{8}$/.test(name))
      .sort()
      .map((name) => ({ place: formerPlace(name), role: 'former' as const })),
  ]
}

/**
 * Makes the next CA the current one. Each step is one rename, so that an interrupted move is completed by another call.
 *
 * @param shortId of the CA that is current until now
 * @throws {TtsError} `configuration`
 */
export async function moveNextToCurrent(dataDirectory: string, shortId: string): Promise<void> {
  const [current, next] = [join(dataDirectory, 'ca'), join(dataDirectory, NEXT_PLACE)]
  const former = join(dataDirectory, formerPlace(shortId))
  try {
    await makeDirectory(join(dataDirectory, FORMER), 0o700)
    if (existsSync(current) && !existsSync(former)) await rename(current, former)
    if (!existsSync(current)) await rename(next, current)
  } catch (error) {
    throw cannotWrite(current, error)
  }
}

/** Deletes a former CA with its key. @throws {TtsError} `configuration` */
export async function removeFormer(dataDirectory: string, shortId: string): Promise<void> {
  const directory = join(dataDirectory, formerPlace(shortId))
  await rm(directory, { recursive: true }).catch((error: unknown) => {
    throw cannotWrite(directory, error)
  })
}

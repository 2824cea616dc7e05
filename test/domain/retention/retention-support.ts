/** Old records of a store, and what its archive says of them. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CredentialRecord } from '../../../src/domain/records.ts'
import type { Store } from '../../../src/domain/store.ts'
import {
  auditLine,
  certificate,
  DAY_MS,
  heldEndEntity,
  newCredential,
  newIdentity,
  NOW,
} from '../../store/support.ts'

/** What ended before this time moves. */
export const BEFORE = new Date(NOW.getTime() - 400 * DAY_MS)
const ended = new Date(BEFORE.getTime() - DAY_MS)
const issued = new Date(BEFORE.getTime() - 2 * DAY_MS)

/** Makes so many credentials under one EEC, all of which ended a day before `BEFORE`. */
export async function newOldRecords(
  store: Store,
  count: number,
): Promise<{
  readonly endEntitySerial: string
  readonly identityId: string
  readonly credentials: readonly CredentialRecord[]
}> {
  const identity = await newIdentity(store)
  const held = heldEndEntity({ notBefore: issued, notAfter: ended })
  await store.recordEndEntity(identity.id, held, auditLine({ event: 'end-entity.issued' }))
  const { serial } = held.certificate
  const credentials = await Promise.all(
    Array.from({ length: count }, async () =>
      newCredential(store, identity, serial, {
        issuedAt: issued,
        notAfter: ended,
        certificates: [certificate({ issuerSerial: serial, notBefore: issued, notAfter: ended })],
      }),
    ),
  )
  return { endEntitySerial: serial, identityId: identity.id, credentials }
}

/** The lines of all files of an archive. */
export async function archivedLines(
  directory: string,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const names = await readdir(directory).catch(() => [])
  const texts = await Promise.all(
    names.map(async (name) => readFile(join(directory, name), 'utf8')),
  )
  return texts
    .flatMap((text) => text.split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** The ids of the archived credentials, once for each line. */
export async function archivedIds(directory: string): Promise<readonly string[]> {
  const lines = await archivedLines(directory)
  return lines.filter(({ record }) => record === 'credential').map(({ id }) => id as string)
}

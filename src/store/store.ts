import type { StoreSettings } from '../config/store-schema.ts'
import type { Store } from '../domain/store.ts'
import { withinTime } from '../base/async.ts'
import { TtsError } from '../base/errors.ts'
import { countCredentials, countServiceCredentials } from './credential-counts.ts'
import {
  credentialEntry,
  findCredential,
  findCredentialByCertificate,
  findCredentialByState,
  forgetCredential,
  listCredentials,
} from './credentials.ts'
import { addCrl, latestCrl, latestCrlNumber } from './crls.ts'
import { delegationRecords } from './delegations/delegations.ts'
import { endedRecords } from './ended-records.ts'
import { endEntityEntry, findHeldEndEntity, findIssuedEndEntity } from './end-entities.ts'
import { createRecordBatch, GroupCommit, type RecordEntry } from './group-commit.ts'
import { ensureIdentity, findIdentity, isSubjectTaken } from './identities.ts'
import {
  type MasterKeyRing,
  openMasterKeyRing,
  recordedMasterKeys,
} from './encryption/master-key-ring.ts'
import type { MasterKeyFile, MasterKeys } from './encryption/master-keys.ts'
import { installationRecords } from './installation.ts'
import { knownGroupsRecords } from './known-groups.ts'
import { migrate } from './schema/migrations.ts'
import { pickupRecords } from './pickups.ts'
import { openDatabase } from './open-database.ts'
import { reencryptKeys } from './encryption/reencryption.ts'
import {
  countArchivedRevocations,
  countRevocations,
  countRevokedSsh,
  listRevocations,
  revoke,
  revokedSshSerials,
} from './revocations.ts'
import { auditRow } from './schema/rows.ts'
import { sessionRecords } from './sessions.ts'
import { tokenKeyRecords } from './access-tokens/token-keys.ts'
import { banRecords } from './bans.ts'
import { closedStore, storeError, storeUnavailable } from './store-error.ts'
import type { Ask, Database } from './schema/tables.ts'
import { listAudit } from './audit.ts'
import { beat, prune } from './upkeep.ts'
import { claimProof } from './used-proofs.ts'

const MAX_BATCH = 256

/** What `openStore` needs. */
export interface OpenStoreOptions {
  /** `path` is absolute. */
  readonly settings: StoreSettings
  /** The keys, or their file: it is created for a new database, and read again when it changes. */
  readonly masterKeys: MasterKeys | MasterKeyFile
  readonly now: () => Date
  /** Whether many requests are under way, so that waiting for their records is worth it. Default: never. */
  readonly isCrowded?: (() => boolean) | undefined
}

/**
 * Opens the records and brings their schema to this version: PostgreSQL when `settings.url` is set, else the SQLite
 * file `settings.path`.
 *
 * @throws TtsError `configuration` when settings, file, schema version or master keys do not fit; `store_unavailable`
 * when the database does not answer.
 */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
  const { settings, now, isCrowded } = options
  const database = await openDatabase(settings)
  try {
    await migrate(database)
    const ring = await openMasterKeyRing(database, options.masterKeys, now)
    const { queue_limit: queueLimit } = settings
    return assembleStore({ database, masterKeys: ring, now, queueLimit, isCrowded })
  } catch (error) {
    await database.destroy().catch(() => undefined)
    throw storeError(error)
  }
}

interface StoreParts {
  readonly database: Database
  readonly masterKeys: MasterKeyRing
  readonly now: () => Date
  readonly queueLimit: number
  readonly isCrowded: OpenStoreOptions['isCrowded']
}

const auditAlone = { certificates: [], endEntityKeys: [], credentials: [] } as const

function commitsOf({ database, queueLimit, isCrowded }: StoreParts): GroupCommit<RecordEntry> {
  return new GroupCommit<RecordEntry>({
    commit: createRecordBatch(database),
    maxBatch: MAX_BATCH,
    maxQueued: queueLimit,
    timeoutMs: database.timeoutMs,
    isCrowded,
  })
}

function assembleStore(parts: StoreParts): Store {
  const { database, masterKeys, now, queueLimit } = parts
  const commits = commitsOf(parts)
  const { ask, close } = guard(database, commits, masterKeys)
  return {
    kind: database.kind,
    close,
    ping: () => ask(() => beat(database, now())),
    findIdentity: (key) => ask(() => findIdentity(database.reads, key)),
    isSubjectTaken: (comparable) => ask(() => isSubjectTaken(database.reads, comparable)),
    ensureIdentity: (key, candidates, at) =>
      ask(() => ensureIdentity(database, key, { candidates, now: at })),
    findHeldEndEntity: (identityId, at, keyKind) =>
      ask(() => findHeldEndEntity(database, masterKeys, { identityId, now: at, keyKind })),
    findIssuedEndEntity: (serial) => ask(() => findIssuedEndEntity(database, serial)),
    recordEndEntity: (identityId, endEntity, audit) =>
      ask(() => commits.submit(endEntityEntry(masterKeys, identityId, { endEntity, audit }))),
    recordCredential: (credential, audit) =>
      ask(() => commits.submit(credentialEntry(credential, audit))),
    recordAudit: (audit) => ask(() => commits.submit({ ...auditAlone, audit: [auditRow(audit)] })),
    listCredentials: (filter) => ask(() => listCredentials(database, filter)),
    findCredential: (id, identityId) => ask(() => findCredential(database, id, identityId)),
    findCredentialByCertificate: (serial) =>
      ask(() => findCredentialByCertificate(database, serial)),
    findCredentialByState: (key) => ask(() => findCredentialByState(database, key)),
    countCredentials: (identityId, activeAt) =>
      ask(() => countCredentials(database, identityId, activeAt)),
    countServiceCredentials: (key, activeAt) =>
      ask(() => countServiceCredentials(database, key, activeAt)),
    forgetCredential: (id, identityId, at) =>
      ask(() => forgetCredential(database, id, { identityId, at })),
    countRevokedSsh: () => ask(() => countRevokedSsh(database)),
    // Many questions, one after another, each with the database's own deadline.
    revokedSshSerials: (at) => ask(() => revokedSshSerials(database, at), UNBOUNDED),
    exclusively: (name, work, waitMs) => exclusively(database, work, { name, waitMs }),
    listAudit: (filter) => ask(() => listAudit(database, filter)),
    ...revocationRecords(database, ask),
    delegations: delegationRecords(database, masterKeys, ask),
    sessions: sessionRecords(database, masterKeys, ask),
    pickups: pickupRecords(database, masterKeys, { ask, now, queueLimit }),
    installation: installationRecords(database, ask),
    bans: banRecords(database, ask),
    tokenKeys: tokenKeyRecords(database, masterKeys, ask),
    knownGroups: knownGroupsRecords(database, ask),
    claimProof: (digest, expiresAt) => ask(() => claimProof(database, digest, expiresAt)),
    // Upkeep works in small transactions, each with the database's own deadline; the whole may take longer.
    prune: (at, auditBefore) => ask(() => prune(database, at, auditBefore), UNBOUNDED),
    endedRecords: endedRecords(database, ask),
    reencryptKeys: () => ask(() => reencryptKeys(database, masterKeys), UNBOUNDED),
    masterKeys: {
      reload: () => masterKeys.reload(),
      recorded: () => ask(() => recordedMasterKeys(database)),
    },
  }
}

function revocationRecords(
  database: Database,
  ask: Ask,
): Pick<
  Store,
  | 'revoke'
  | 'revokedHere'
  | 'latestCrl'
  | 'countRevocations'
  | 'countArchivedRevocations'
  | 'latestCrlNumber'
  | 'listRevocations'
  | 'addCrl'
> {
  let revokedHere = 0
  return {
    revoke: async (request) => {
      const revocation = await ask(() => revoke(database, request))
      revokedHere += 1
      return revocation
    },
    revokedHere: () => revokedHere,
    // In many parts, each with the database's own deadline.
    latestCrl: () => ask(() => latestCrl(database), UNBOUNDED),
    countRevocations: () => ask(() => countRevocations(database)),
    countArchivedRevocations: () => ask(() => countArchivedRevocations(database)),
    latestCrlNumber: () => ask(() => latestCrlNumber(database)),
    listRevocations: (page) => ask(() => listRevocations(database, page)),
    addCrl: (crl) => ask(() => addCrl(database, crl), UNBOUNDED),
  }
}

/** Not one question with a deadline: the work has deadlines of its own. */
async function exclusively<Answer>(
  { locks }: Database,
  work: () => Promise<Answer>,
  { name, waitMs }: { readonly name: string; readonly waitMs: number },
): Promise<Answer> {
  let begun = false
  try {
    return await locks.run(
      name,
      () => {
        begun = true
        return work()
      },
      waitMs,
    )
  } catch (error) {
    if (begun || (error instanceof TtsError && error.code !== 'overloaded')) throw error
    if (!(error instanceof TtsError)) throw storeError(error)
    throw new TtsError('overloaded', 'another request for the same is under way', {
      check: 'busy',
      retryAfterSeconds: 5,
    })
  }
}

/** The longest that a timer can be set to, in milliseconds. */
const UNBOUNDED = 2 ** 31 - 1

interface Guard {
  readonly ask: Ask
  /** Lets everything that was asked come to its end, then closes the database. May be called again. */
  readonly close: () => Promise<void>
}

function guard(
  database: Database,
  commits: GroupCommit<RecordEntry>,
  masterKeys: MasterKeyRing,
): Guard {
  const underWay = new Set<Promise<unknown>>()
  let closing: Promise<void> | undefined
  const closeOnce = async (): Promise<void> => {
    await commits.drain()
    await Promise.allSettled(underWay)
    await database.destroy()
  }
  return {
    ask: async (question, timeoutMs = database.timeoutMs) => {
      if (closing !== undefined) throw closedStore()
      const asked = withNewKeys(question, masterKeys)
      const answer = withinTime(asked, timeoutMs, () => unanswered(timeoutMs))
      underWay.add(answer)
      try {
        return await answer
      } catch (error) {
        throw storeError(error)
      } finally {
        underWay.delete(answer)
      }
    },
    close: () => (closing ??= closeOnce()),
  }
}

/** A row under an unknown master key: the keys may have been rotated while this process runs. */
async function withNewKeys<Answer>(
  question: () => Promise<Answer>,
  masterKeys: MasterKeyRing,
): Promise<Answer> {
  try {
    return await question()
  } catch (error) {
    if (!(error instanceof TtsError) || error.check !== 'master_key_unknown') throw error
    if (!(await masterKeys.reload())) throw error
    return question()
  }
}

const unanswered = (timeoutMs: number): TtsError =>
  storeUnavailable(new Error(`no answer within ${timeoutMs} ms`))

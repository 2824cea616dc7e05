import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { storeSettings, type StoreSettings } from '../../src/config/store-schema.ts'
import type {
  AuditRecord,
  CertificateRecord,
  CredentialRecord,
  HeldEndEntity,
  Identity,
} from '../../src/domain/records.ts'
import type { Store } from '../../src/domain/store.ts'
import {
  type MasterKeyFile,
  parseMasterKeys,
  type MasterKeys,
} from '../../src/store/encryption/master-keys.ts'
import { openStore } from '../../src/store/store.ts'
import {
  ask,
  missingPostgresPackage,
  startPostgres,
  type PostgresCluster,
} from '../support/postgres.ts'

export const NOW = new Date('2026-11-23T12:00:00.000Z')
export const DAY_MS = 86_400_000
export const origin = { requestId: 'req-1', address: '192.0.2.7', interface: 'native' }

/** What the cases of one database get. */
export interface StoreFixture {
  readonly kind: Store['kind']
  /** Settings of an empty database of its own. */
  readonly newDatabase: (overrides?: Partial<StoreSettings>) => Promise<StoreSettings>
  /** A store that is closed after the test. */
  readonly open: (
    settings: StoreSettings,
    masterKeys?: MasterKeys | MasterKeyFile,
  ) => Promise<Store>
  /** Raw SQL past the store. */
  readonly query: (settings: StoreSettings, sql: string) => Promise<unknown[]>
}

/** Runs the same cases on SQLite and on a real PostgreSQL; a missing PostgreSQL is one visible skipped test. */
export function describeStores(name: string, cases: (fixture: StoreFixture) => void): void {
  describe(`${name} on SQLite`, () => cases(makeFixture('sqlite')))
  if (missingPostgresPackage === undefined) {
    describe(`${name} on PostgreSQL`, () => cases(makeFixture('postgresql')))
    return
  }
  const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)(`${name} on PostgreSQL`, () => {
    test(`NOT RUN: Debian package ${missingPostgresPackage} is missing`, () => {
      expect(
        missingPostgresPackage,
        'Debian package that TTS_TEST_REQUIRE_TOOLS asks for',
      ).toBeUndefined()
    })
  })
}

function makeFixture(kind: Store['kind']): StoreFixture {
  let directory = ''
  let cluster: PostgresCluster | undefined
  let made = 0
  const open: Store[] = []
  // A database belongs to its master keys.
  const keys = new Map<string, MasterKeys>()
  const keysOf = ({ url, path }: StoreSettings): MasterKeys => {
    const known = keys.get(url ?? path) ?? newMasterKeys()
    keys.set(url ?? path, known)
    return known
  }
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tts-store-'))
    if (kind === 'postgresql') cluster = await startPostgres()
  })
  afterEach(async () => {
    await Promise.all(open.splice(0).map((store) => store.close()))
  })
  afterAll(async () => {
    await cluster?.stop()
    await rm(directory, { recursive: true, force: true })
  })
  return {
    kind,
    newDatabase: async (overrides = {}) => {
      made += 1
      const url = await cluster?.createDatabase()
      const place = url === undefined ? { path: join(directory, `${made}`, 'tts.db') } : { url }
      return storeSettings.parse({ pool_size: 4, ...place, ...overrides })
    },
    open: async (settings, masterKeys = keysOf(settings)) => {
      const store = await openStore({ settings, masterKeys, now: () => NOW })
      open.push(store)
      return store
    },
    query: async (settings, sql) => {
      if (settings.url !== undefined) return await ask(settings.url, sql)
      const database = new DatabaseSync(settings.path, { timeout: 1000 })
      try {
        return database.prepare(sql).all()
      } finally {
        database.close()
      }
    },
  }
}

export function newMasterKeys(): MasterKeys {
  return parseMasterKeys(`k1:${randomBytes(32).toString('base64')}`, 'test')
}

export function certificate(overrides: Partial<CertificateRecord> = {}): CertificateRecord {
  return {
    serial: randomBytes(10).toString('hex'),
    kind: 'proxy',
    subject: '/C=EU/O=INDIGO/CN=alice/CN=1',
    issuerSerial: undefined,
    notBefore: NOW,
    notAfter: new Date(NOW.getTime() + DAY_MS),
    fingerprint: randomBytes(32).toString('hex'),
    keyKind: 'rsa-2048',
    ...overrides,
  }
}

export function auditLine(overrides: Partial<AuditRecord> = {}): AuditRecord {
  return {
    at: NOW,
    event: 'credential.issued',
    outcome: 'allowed',
    origin,
    issuer: 'https://iam.example/',
    sub: 'alice',
    serviceId: 'proxy',
    credentialId: undefined,
    code: undefined,
    check: undefined,
    detail: undefined,
    ...overrides,
  }
}

export function heldEndEntity(overrides: Partial<CertificateRecord> = {}): HeldEndEntity {
  return {
    certificate: certificate({ kind: 'eec', subject: '/C=EU/O=INDIGO/CN=alice', ...overrides }),
    certificateDer: randomBytes(900),
    privateKeyDer: randomBytes(1200),
  }
}

export function credential(
  identity: Identity,
  endEntitySerial: string,
  overrides: Partial<CredentialRecord> = {},
): CredentialRecord {
  return {
    id: randomUUID(),
    identityId: identity.id,
    serviceId: 'proxy',
    certificates: [certificate({ issuerSerial: endEntitySerial })],
    endEntitySerial,
    sshSerial: undefined,
    pluginState: undefined,
    issuedAt: NOW,
    notAfter: new Date(NOW.getTime() + DAY_MS),
    clientId: 'client-1',
    origin,
    delegationId: undefined,
    renewedFrom: undefined,
    firstIssuedAt: undefined,
    ...overrides,
  }
}

export async function newIdentity(store: Store, sub: string = randomUUID()): Promise<Identity> {
  const candidate = { subject: `/C=EU/CN=${sub}`, comparable: `/c=eu/cn=${sub}` }
  return await store.ensureIdentity({ issuer: 'https://iam.example/', sub }, [candidate], NOW)
}

/** An identity with a held EEC. */
export async function newEndEntity(
  store: Store,
): Promise<{ identity: Identity; held: HeldEndEntity; serial: string }> {
  const identity = await newIdentity(store)
  const held = heldEndEntity()
  await store.recordEndEntity(identity.id, held, auditLine({ event: 'end-entity.issued' }))
  return { identity, held, serial: held.certificate.serial }
}

/** Records a new credential; answers it. */
export async function newCredential(
  store: Store,
  identity: Identity,
  serial: string,
  overrides: Partial<CredentialRecord> = {},
): Promise<CredentialRecord> {
  const made = credential(identity, serial, overrides)
  await store.recordCredential(made, auditLine({ credentialId: made.id }))
  return made
}

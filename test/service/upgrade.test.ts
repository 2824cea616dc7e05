/** This version starts on a database that the version before it made, with all that is in it. */
import { rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { proxyJson } from '../api/support.ts'
import { describeStores } from '../store/support.ts'
import { useStoredServices } from '../support/stored-services.ts'

const installation = useStoredServices()

describeStores('an upgrade', ({ newDatabase, query }) => {
  test('from the schema before this release keeps names, keys, CRL number and CA', async () => {
    const settings = await newDatabase()
    await installation.configure(settings)
    const before = await proxyJson(await installation.start())
    await installation.stop()
    // As 0006 left it.
    for (const statement of [
      'drop table archived_counts',
      'drop table known_groups',
      'drop table token_keys',
      'drop table banned_identities',
      'drop table bans',
      'drop table installation_keys',
      'alter table identities drop column groups',
      "delete from kysely_migration where name > '0006_crl_parts'",
    ])
      await query(settings, statement)
    await rm(installation.path('data/ca/database-id'))

    const after = await installation.start()
    const issued = await proxyJson(after)
    // The same EEC, whose key is in the database: its CA, its master key and its name are known.
    expect(issued).toMatchObject({
      identity: before.identity,
      end_entity_serial: before.end_entity_serial,
    })
    const { store: records } = after.running.service
    expect(await records.installation.authority('x509-ca')).toBeDefined()
    expect(await records.masterKeys.recorded()).toHaveLength(1)
    expect(await records.latestCrlNumber()).toBe(1)
  })
})

/** A database that lacks the last commits, as after a failover without synchronous replication. */
import { expect, test } from 'vitest'
import { askProxy, proxyJson } from '../api/support.ts'
import { describeStores } from '../store/support.ts'
import { useStoredServices } from '../support/stored-services.ts'

const installation = useStoredServices()

describeStores('records that were lost', ({ newDatabase, query }) => {
  test('are made again after a reload', async () => {
    const settings = await newDatabase()
    await installation.configure(settings)
    const service = await installation.start()
    const before = await proxyJson(service)
    for (const table of ['credentials', 'end_entity_keys', 'certificates', 'identities'])
      await query(settings, `delete from ${table} where true returning 1`)

    // The service remembers identity and EEC. Nothing leaves without a record.
    expect((await askProxy(service)).status).toBe(500)
    await installation.reload('tts.yaml')
    const after = await proxyJson(service)
    expect(after.identity).toBe(before.identity)
    expect(after.end_entity_serial).not.toBe(before.end_entity_serial)
  })
})

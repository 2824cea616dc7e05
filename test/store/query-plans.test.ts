import { expect, test } from 'vitest'
import { describeStores } from './support.ts'

describeStores('queries', ({ kind, newDatabase, open, query }) => {
  test.for([
    {
      name: 'the live credentials of one identity and service',
      sql: `select service_id, live from (
          select service_id, end_entity_serial, count(*) as live from credentials where identity_id = 'i' and service_id = 's'
            and revoked_at is null and forgotten_at is null and not_after > 5 group by service_id, end_entity_serial
          union all
          select service_id, end_entity_serial, count(*) as live from credentials where identity_id = 'i' and service_id = 's'
            and revoked_at is null and forgotten_at is null and not_after is null group by service_id, end_entity_serial
        ) as counted left join revocations on revocations.serial = counted.end_entity_serial
        where revocations.serial is null`,
      index: 'COVERING INDEX credentials_live (identity_id=? AND service_id=? AND not_after>?)',
      isGrouped: true,
    },
    {
      name: 'the live credentials of one identity',
      sql: `select service_id, end_entity_serial, count(*) as live from credentials where identity_id = 'i'
          and revoked_at is null and forgotten_at is null and not_after > 5 group by service_id, end_entity_serial`,
      index: 'COVERING INDEX credentials_live (identity_id=?',
      isGrouped: true,
    },
    {
      name: 'a page of revocations',
      sql: `select revocations.serial, revoked_at, reason, not_after from revocations
        inner join certificates on certificates.serial = revocations.serial
        where (revoked_at, revocations.serial) > (5, 'a') order by revoked_at, revocations.serial limit 1000`,
      index: 'revocations_revoked_at',
    },
    {
      name: 'all SSH certificates that were revoked',
      sql: `select count(*) from credentials where ssh_serial is not null and revoked_at is not null`,
      index: 'credentials_revoked_ssh',
      isWhole: true,
    },
    {
      name: 'a page of revoked SSH certificates',
      sql: `select ssh_serial, not_after, id from credentials where ssh_serial is not null and revoked_at is not null
        and (not_after, id) > (5, 'a') order by not_after, id limit 10000`,
      index: 'credentials_revoked_ssh',
    },
    {
      name: 'a page of old credentials, for the archive',
      sql: `select credentials.*, identities.issuer, revocations.reason from credentials
        inner join identities on identities.id = credentials.identity_id
        left join revocations on revocations.serial = credentials.end_entity_serial
        where credentials.issued_at < 9 and (credentials.issued_at, credentials.id) > (5, 'a')
        order by credentials.issued_at, credentials.id limit 200`,
      index: 'credentials_issued',
    },
    {
      name: 'a page of old certificates, for the archive',
      sql: `select serial, kind, not_after from certificates
        where not_after < 9 and (not_after, serial) > (5, 'a') order by not_after, serial limit 200`,
      index: 'certificates_not_after',
    },
    {
      name: 'the credentials that name an old EEC',
      sql: `select serial from certificates where serial in ('a', 'b') and not exists
        (select id from credentials where end_entity_serial = certificates.serial)`,
      index: 'credentials_end_entity',
    },
    {
      name: 'the proxies of old credentials',
      sql: `delete from certificates where credential_id in ('a', 'b') and kind = 'proxy'`,
      index: 'certificates_credential_id',
    },
  ])('$name are found by an index', async ({ sql, index, isWhole, isGrouped }) => {
    const settings = await newDatabase()
    await open(settings)
    if (kind === 'postgresql') {
      // What its planner takes depends on how much there is: of an empty table it reads all.
      const [name = ''] = /(credentials|certificates|revocations)_\w+/.exec(index) ?? []
      const found = await query(settings, `select * from pg_indexes where indexname = '${name}'`)
      expect(found.length).toBe(1)
      return
    }
    const plan = await query(settings, `explain query plan ${sql}`)
    const steps = plan.map((row) => String((row as { detail: unknown }).detail))
    expect(steps.join('\n')).toContain(index)
    // A count reads an index as a whole, but no table. Ends that are equal are few enough to be sorted by id, and so
    // are the EECs of one identity.
    const isSlow = (step: string): boolean =>
      isWhole !== true &&
      !(isGrouped === true && /GROUP BY|SCAN counted/.test(step)) &&
      /^SCAN|TEMP B-TREE FOR (?!LAST TERM)/.test(step)
    expect(steps.filter(isSlow)).toEqual([])
  })
})

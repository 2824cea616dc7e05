/** Run by kill.test.ts in a process of its own: records credentials for ever and prints the id of each durable one. */
import { randomBytes } from 'node:crypto'
import { writeSync } from 'node:fs'
import { storeSettings } from '../../src/config/store-schema.ts'
import { parseMasterKeys } from '../../src/store/encryption/master-keys.ts'
import { openStore } from '../../src/store/store.ts'

const [settingsJson = '{}', endEntitySerial = '', identityId = ''] = process.argv.slice(2)
const store = await openStore({
  settings: storeSettings.parse(JSON.parse(settingsJson)),
  masterKeys: parseMasterKeys(process.env['KILL_TEST_MASTER_KEYS'] ?? '', 'environment'),
  now: () => new Date(),
})

async function recordForEver(): Promise<never> {
  const origin = { requestId: 'kill', address: 'local', interface: 'test' }
  for (;;) {
    const id = randomBytes(16).toString('hex')
    const at = new Date()
    const certificate = {
      serial: randomBytes(10).toString('hex'),
      kind: 'proxy' as const,
      subject: '/CN=kill',
      issuerSerial: endEntitySerial,
      notBefore: at,
      notAfter: at,
      fingerprint: 'f',
      keyKind: 'rsa-2048',
    }
    await store.recordCredential(
      {
        id,
        identityId,
        serviceId: 'proxy',
        certificates: [certificate],
        endEntitySerial,
        sshSerial: undefined,
        pluginState: undefined,
        issuedAt: at,
        notAfter: at,
        clientId: undefined,
        origin,
        delegationId: undefined,
        renewedFrom: undefined,
        firstIssuedAt: undefined,
      },
      {
        at,
        event: 'credential.issued',
        outcome: 'allowed',
        origin,
        issuer: undefined,
        sub: undefined,
        serviceId: 'proxy',
        credentialId: id,
        code: undefined,
        check: undefined,
        detail: undefined,
      },
    )
    writeSync(1, `${id}\n`)
  }
}

await Promise.all(Array.from({ length: 16 }, recordForEver))

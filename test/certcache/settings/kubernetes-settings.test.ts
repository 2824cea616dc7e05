import { expect, test } from 'vitest'
import { settingsIn, temporaryDirectory } from '../engine-support.ts'

const load = async (secrets: unknown, more: object = {}) =>
  settingsIn(await temporaryDirectory(), {
    proxies: { gwms_proxy: { kubernetes_secrets: secrets }, ...more },
  })

test('defaults', async () => {
  const { proxies } = await load([{ name: 'worker.x-1' }])
  expect(proxies['gwms_proxy']?.kubernetes_secrets).toEqual([
    { name: 'worker.x-1', key: 'proxy', create: false, overwrite: false, restart: [] },
  ])
})

test('names are as long as the API takes them, without a dot too', async () => {
  const name = `a-${'x'.repeat(251)}`
  const secret = { name, namespace: 'n'.repeat(63), restart: [`deployment/${name}`] }
  const { proxies } = await load([secret])
  expect(proxies['gwms_proxy']?.kubernetes_secrets[0]).toMatchObject(secret)
})

const at = 'proxies.gwms_proxy.kubernetes_secrets.0'
test.for([
  [{}, `${at}.name`],
  [{ name: 'Worker' }, 'must be a name of a Kubernetes object (RFC 1123)'],
  [{ name: '../x' }, 'must be a name of a Kubernetes object (RFC 1123)'],
  [{ name: 'a..b' }, 'must be a name of a Kubernetes object (RFC 1123)'],
  [{ name: 'a%2fb' }, 'must be a name of a Kubernetes object (RFC 1123)'],
  [{ name: 'a?x=y' }, 'must be a name of a Kubernetes object (RFC 1123)'],
  [{ name: 'a\n' }, 'must be a name of a Kubernetes object (RFC 1123)'],
  [{ name: 'x'.repeat(254) }, 'must have at most 253 characters'],
  [{ name: 'a', namespace: 'x'.repeat(64) }, 'must have at most 63 characters'],
  [{ name: 'a', namespace: 'a.b' }, 'must be a name of a Kubernetes namespace (RFC 1123)'],
  [{ name: 'a', namespace: '' }, 'must be a name of a Kubernetes namespace (RFC 1123)'],
  [{ name: 'a', key: '..' }, 'must have 1 to 253 letters, digits, dots'],
  [{ name: 'a', key: '.' }, 'must have 1 to 253 letters, digits, dots'],
  [{ name: 'a', key: '..data' }, 'must have 1 to 253 letters, digits, dots'],
  [{ name: 'a', key: 'a/b' }, 'must have 1 to 253 letters, digits, dots'],
  [{ name: 'a', key: '' }, 'must have 1 to 253 letters, digits, dots'],
  [{ name: 'a', key: 'k'.repeat(254) }, 'must have 1 to 253 letters, digits, dots'],
  [{ name: 'a', create: 'yes' }, `${at}.create`],
  [{ name: 'a', token: 'x' }, `${at}.token`],
  [
    { name: 'a', restart: ['worker'] },
    'must be deployment/NAME, statefulset/NAME or daemonset/NAME',
  ],
  [
    { name: 'a', restart: ['job/x'] },
    'must be deployment/NAME, statefulset/NAME or daemonset/NAME',
  ],
  [{ name: 'a', restart: ['deployment/a/../b'] }, 'must be deployment/NAME, statefulset/NAME'],
  [{ name: 'a', restart: ['deployment/'] }, 'must be deployment/NAME, statefulset/NAME'],
] as const)('%j is refused', async ([secret, message]) => {
  await expect(load([secret])).rejects.toThrow(message)
})

test.for([
  [{ name: 'a' }, { name: 'a' }, false],
  // Times of writing are noted for the whole Secret.
  [{ name: 'a' }, { name: 'a', key: 'limited' }, false],
  // The pod may be in `physics`.
  [{ name: 'a' }, { name: 'a', namespace: 'physics' }, false],
  [{ name: 'a', namespace: 'physics' }, { name: 'a' }, false],
  [{ name: 'a', namespace: 'physics' }, { name: 'a', namespace: 'physics' }, false],
  [{ name: 'a', namespace: 'cms' }, { name: 'a', namespace: 'physics' }, true],
  [{ name: 'a' }, { name: 'b' }, true],
] as const)('%j and %j: permitted %s', async ([one, other, permitted]) => {
  const loaded = load([one], { limited: { kubernetes_secrets: [other] } })
  if (permitted) await expect(loaded).resolves.toBeDefined()
  else
    await expect(loaded).rejects.toThrow(
      'proxies.limited.kubernetes_secrets.0.name: found "a"; must not name the Secret of another entry',
    )
})

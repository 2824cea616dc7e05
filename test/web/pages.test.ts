import { expect, test } from 'vitest'
import { readPem } from '../../ca/pem.ts'
import { useTestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const service = useTestService(withLogin())

test('from the first page to a proxy file, and its revocation', async () => {
  const browser = new Browser(service())
  const start = await browser.ask('/')
  expect(start.status).toBe(200)
  expect(start.text).toContain('Log in with <bdi>Demo IAM</bdi>')
  expect(start.text).toContain(`${service().url}/v1/proxies`)

  const services = await browser.logIn()
  expect(services.path, services.text).toBe('/services')
  expect(services.text).toContain('Alice Example')

  const form = await browser.ask('/services/proxy')
  const result = await browser.ask('/services/proxy', {
    form: { ...fieldsOf(form.text, '/services/proxy'), p_lifetime_seconds: '12' },
  })
  expect(result.status, result.text).toBe(200)
  expect(result.headers.get('cache-control')).toBe('no-store')

  const file = await browser.ask('/download', { form: fieldsOf(result.text, '/download') })
  expect(file.headers.get('content-disposition')).toBe('attachment; filename="gwms_proxy"')
  expect(readPem(file.text, 'test').map(({ label }) => label)).toContain('CERTIFICATE')

  const list = await browser.ask('/credentials')
  const [, id = ''] = /href="\/credentials\/([0-9a-f-]{36})\/revoke"/.exec(list.text) ?? []
  expect(list.text).toMatch(/11 hours 5\d minutes left/)
  const confirm = await browser.ask(`/credentials/${id}/revoke`)
  const action = `/credentials/${id}/revoke`
  const done = await browser.ask(action, { form: fieldsOf(confirm.text, action) })
  expect([done.status, done.headers.get('location')]).toEqual([303, '/credentials?done=revoked'])
  const after = await browser.ask('/credentials?done=revoked')
  expect(after.text).toContain('You have no valid credential')
})

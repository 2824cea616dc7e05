import { describe, expect, test } from 'vitest'
import { escapeHtml, html, textArea } from '../../src/web/html/html.ts'
import { fileNameOf } from '../../src/web/pages/result-page.ts'
import { useTestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

/** Breaks out of text, attributes and elements, where it is let. */
const hostile = `</textarea></bdi></title>"'><img src=x onerror=alert(1)>\`\u202e`
const escaped = '&#60;img src=x onerror=alert(1)&#62;'

const service = useTestService({
  ...withLogin(
    {
      web: {
        title: hostile.slice(0, 80),
        contact: hostile,
        operators: { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] },
      },
      services: {
        proxy: {
          description: hostile,
          authz: { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] },
        },
        x509: {
          description: hostile,
          authz: {
            tooltip: hostile,
            allow: [
              {
                provider: 'iam',
                claims: { groups: { contains: hostile }, email: { equals: 'carol@example.org' } },
              },
            ],
          },
        },
      },
    },
    { description: hostile },
  ),
  identityProvider: {
    tokens: { includeAuthnInfo: true },
    users: [
      {
        sub: `${hostile}-mallory`,
        username: 'mallory',
        name: hostile,
        email: 'mallory@example.org',
        groups: ['cms', hostile.replaceAll(' ', '')],
      },
    ],
  },
})

describe('what comes from outside is text', () => {
  const pages = [
    '/',
    '/login',
    '/services',
    '/services/proxy',
    '/services/x509',
    '/credentials',
    '/delegations',
    '/audit',
  ]
  test('on every page', async () => {
    const user = new Browser(service())
    const mallory = new Browser(service())
    const home = await mallory.logIn('mallory')
    expect(home.path).toBe('/services')
    const form = { ...fieldsOf((await mallory.ask('/services/proxy')).text, '/services/proxy') }
    const result = await mallory.ask('/services/proxy', { form })
    expect(result.status).toBe(200)
    const refused = await mallory.ask('/services/proxy', {
      form: {
        ...fieldsOf((await mallory.ask('/services/proxy')).text, '/services/proxy'),
        p_csr: hostile,
        p_path_length: hostile,
      },
    })
    expect(refused.status).toBe(400)
    expect(refused.text).toContain(escaped)
    const shown = [result, refused]
    for (const path of pages) shown.push(await (path === '/login' ? user : mallory).ask(path))
    for (const { text } of shown) {
      expect(text).toContain(escaped)
      expect(text).not.toMatch(/<img|\u202e/)
    }
  })

  test('what a rule wants of names and addresses is not told', async () => {
    const mallory = new Browser(service())
    const { text } = await mallory.logIn('mallory')
    expect(text).toContain('email must have a value that is not shown (yours: mallory@example.org)')
    expect(text).not.toContain('carol@example.org')
  })
})

test('pieces of HTML hold values and never become them', () => {
  const value = '<&>"\'`\0\u202e\n'
  expect(html`<p title="${value}">${[value, undefined, false, 3]}</p>`.text).toBe(
    '<p title="&#60;&#38;&#62;&#34;&#39;&#96;\ufffd\ufffd\n">&#60;&#38;&#62;&#34;&#39;&#96;\ufffd\ufffd\n3</p>',
  )
  expect(html`<b>${html`<i>${'<'}</i>`}</b>`.text).toBe('<b><i>&#60;</i></b>')
  expect(textArea(html`id="a"`, '\nx').text).toContain('>\n\nx</textarea>')
  expect(escapeHtml('ä€𝄞')).toBe('ä€𝄞')
})

test.for([
  ['../../etc/passwd', 'etc_passwd'],
  ['a"; filename=b', 'a_filename_b'],
  ['x\r\nSet-Cookie: a=b', 'x_Set-Cookie_a_b'],
  ['.bashrc', 'bashrc'],
  ['…', 'credential'],
  ['gwms_proxy', 'gwms_proxy'],
  ['a'.repeat(300), 'a'.repeat(80)],
] as const)('a file that is called %j is saved as %s', ([name, saved]) => {
  expect(fileNameOf(name)).toBe(saved)
})

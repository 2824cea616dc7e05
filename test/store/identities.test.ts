import { expect, test } from 'vitest'
import { describeStores, NOW, newIdentity } from './support.ts'

const issuer = 'https://iam.example/'
const name = (text: string): { subject: string; comparable: string } => ({
  subject: `/C=EU/CN=${text}`,
  comparable: `/c=eu/cn=${text.toLowerCase()}`,
})

describeStores('identities', ({ newDatabase, open }) => {
  test('the first candidate is given and kept whatever is asked later', async () => {
    const store = await open(await newDatabase())
    const first = await store.ensureIdentity({ issuer, sub: 'a' }, [name('A')], NOW)
    expect(first).toMatchObject({ issuer, sub: 'a', subject: '/C=EU/CN=A', createdAt: NOW })
    const later = await store.ensureIdentity({ issuer, sub: 'a' }, [name('other')], new Date())
    expect(later).toEqual(first)
    expect(await store.findIdentity({ issuer, sub: 'a' })).toEqual(first)
    expect(await store.findIdentity({ issuer, sub: 'A' })).toBeUndefined()
  })

  test('a subject is taken from the moment at which it is assigned', async () => {
    const store = await open(await newDatabase())
    expect(await store.isSubjectTaken('/c=eu/cn=a')).toBe(false)
    await store.ensureIdentity({ issuer, sub: 'a' }, [name('A'), name('B')], NOW)
    expect(await store.isSubjectTaken('/c=eu/cn=a')).toBe(true)
    expect(await store.isSubjectTaken('/c=eu/cn=b')).toBe(false)
  })

  test('many callers at once in two stores get one identity with one name', async () => {
    const settings = await newDatabase()
    const stores = [await open(settings), await open(settings)]
    const calls = Array.from({ length: 20 }, (_, index) =>
      stores[index % 2]!.ensureIdentity({ issuer, sub: 'a' }, [name(`A${index}`)], NOW),
    )
    const found = await Promise.all(calls)
    expect(new Set(found.map((identity) => `${identity.id} ${identity.subject}`)).size).toBe(1)
  })

  test('different identities that want one name at once: one gets it, the others their second', async () => {
    const settings = await newDatabase()
    const stores = [await open(settings), await open(settings)]
    const found = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        stores[index % 2]!.ensureIdentity(
          { issuer, sub: `s${index}` },
          // The letter case differs: the comparable form is what counts.
          [name(index % 2 === 0 ? 'Shared' : 'SHARED'), name(`own${index}`)],
          NOW,
        ),
      ),
    )
    expect(new Set(found.map((identity) => identity.subject.toLowerCase())).size).toBe(10)
    expect(
      found.filter((identity) => identity.subject.toLowerCase().endsWith('shared')),
    ).toHaveLength(1)
  })

  test('no free candidate is a conflict and records nothing', async () => {
    const store = await open(await newDatabase())
    await store.ensureIdentity({ issuer, sub: 'a' }, [name('A')], NOW)
    await expect(
      store.ensureIdentity({ issuer, sub: 'b' }, [name('A'), name('a')], NOW),
    ).rejects.toMatchObject({ code: 'conflict', check: 'subject_taken' })
    expect(await store.findIdentity({ issuer, sub: 'b' })).toBeUndefined()
  })

  test('subs that a database would cut, replace or fold stay different identities', async () => {
    const store = await open(await newDatabase())
    const subs = [
      'a',
      'a\0',
      'a\0b',
      'a\\0',
      'a\\',
      'a ',
      'A',
      'ä',
      'a\u0308',
      'a\ud800',
      'a\udc00',
      'a\ufffd',
    ]
    const made = await Promise.all(subs.map((sub) => newIdentity(store, sub)))
    expect(new Set(made.map((identity) => identity.id)).size).toBe(subs.length)
    expect(made.map((identity) => identity.sub)).toEqual(subs)
  })

  test('what is too long to be indexed is refused alike on both databases', async () => {
    const store = await open(await newDatabase())
    await expect(newIdentity(store, '😀'.repeat(300))).resolves.toMatchObject({
      sub: '😀'.repeat(300),
    })
    await expect(newIdentity(store, 'x'.repeat(3000))).rejects.toMatchObject({
      code: 'invalid_request',
      check: 'identity_length',
    })
  })
})

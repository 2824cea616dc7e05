import { expect, test } from 'vitest'
import { listServers } from '../../../src/store/postgres/server-list.ts'

test.for([
  { url: 'postgres://u:p@a/x', urls: ['postgres://u:p@a/x'], needsWritable: false },
  {
    url: 'postgres:///x?host=%2Frun%2Fpg&user=u',
    urls: ['postgres:///x?host=%2Frun%2Fpg&user=u'],
    needsWritable: false,
  },
  {
    url: 'postgres://u@a/x?target_session_attrs=read-write',
    urls: ['postgres://u@a/x'],
    needsWritable: true,
  },
  { url: 'postgres://u@a/x?target_session_attrs=any', urls: ['postgres://u@a/x'] },
  {
    url: 'postgresql://u:p%40q@a:1,[::1]:2,c/x?sslmode=verify-full&target_session_attrs=primary',
    urls: ['a:1', '[::1]:2', 'c'].map(
      (host) => `postgresql://u:p%40q@${host}/x?sslmode=verify-full`,
    ),
    needsWritable: true,
  },
  { url: 'postgres://a,b', urls: ['postgres://a', 'postgres://b'], needsWritable: true },
  {
    url: 'postgres:///x?host=/a,/b&port=1,2&user=u',
    urls: ['postgres:///x?host=%2Fa&port=1&user=u', 'postgres:///x?host=%2Fb&port=2&user=u'],
    needsWritable: true,
  },
  {
    url: 'postgres:///x?host=/a,/b&port=7',
    urls: ['postgres:///x?host=%2Fa&port=7', 'postgres:///x?host=%2Fb&port=7'],
  },
])('$url', ({ url, urls, needsWritable }) => {
  const list = listServers(url)
  expect(list.urls).toEqual(urls)
  if (needsWritable !== undefined) expect(list.needsWritable).toBe(needsWritable)
})
